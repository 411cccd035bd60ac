#include "check.h"

#include "base/error.h"
#include "base/guard.h"
#include "feed/recover.h"

enum { LOST_MAX = 200, ROOM = 256 };

static const uint8_t session[NUMI_MOLD_SESSION_SIZE] = "NUMI000001";

/* Messages lost here and there, a server that answers what it likes: `is_lost` of each sequence. */
struct world {
    bool is_lost[LOST_MAX];
    struct numi_gap gaps[LOST_MAX];
    struct numi_request requests[ROOM];
    struct numi_range ranges[ROOM];
    uint8_t reply[NUMI_MOLD_HEADER_SIZE + 3 * LOST_MAX];
};

static uint64_t list_gaps(struct world *world) {
    uint64_t count = 0;
    for (uint64_t at = 0; at < LOST_MAX; at++) {
        if (!world->is_lost[at])
            continue;
        if (count > 0 && world->gaps[count - 1].to == at)
            world->gaps[count - 1].to++;
        else
            world->gaps[count++] = (struct numi_gap){at, at + 1, 0};
    }
    return count;
}

static void answer(struct numi_recover *recover, struct world *world, int64_t now_ns,
                   const struct numi_request *request) {
    uint32_t count = 1 + (uint32_t)check_below(request->count);
    uint32_t size =
        numi_mold_write_header(world->reply, session, request->sequence, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++, size += 3)
        memcpy(world->reply + size, (uint8_t[]){0, 1, 'x'}, 3);
    EXPECT_EQ(numi_recover_reply(recover, now_ns, request->server, world->reply, size),
              NUMI_REPLY_OK);
    memset(world->is_lost + request->sequence, 0, count);
}

/* All that was lost comes, or is given up; and nothing is allocated on the way. */
TEST(lost_messages_come_or_are_given_up) {
    static struct world world;
    for (uint32_t round = 0; round < 200; round++) {
        struct numi_recover_options options;
        numi_recover_defaults(&options);
        options.servers = 1 + (uint32_t)check_below(3);
        options.range_max = 1 + (uint32_t)check_below(40);
        options.request_max = 1 + (uint32_t)check_below(20);
        options.outstanding = 1 + (uint32_t)check_below(20);
        options.patience_ns = 0;
        options.seed = check_random();
        struct numi_recover *recover;
        NEED(numi_recover_open(&recover, &options) == NUMI_OK);
        for (uint32_t i = 0; i < LOST_MAX; i++)
            world.is_lost[i] = check_below(3) == 0;
        uint64_t left = 1;
        numi_guard_enter();
        for (int64_t now_ns = 0; left > 0 && now_ns < 4 * options.give_up_ns; now_ns += 1000000) {
            int count = numi_recover_step(recover, now_ns, session, world.gaps, list_gaps(&world),
                                          world.requests, ROOM);
            for (int i = 0; i < count; i++)
                if (check_below(4) > 0)
                    answer(recover, &world, now_ns, &world.requests[i]);
            count = numi_recover_given_up(recover, world.ranges, ROOM);
            for (int i = 0; i < count; i++)
                memset(world.is_lost + world.ranges[i].from, 0,
                       world.ranges[i].to - world.ranges[i].from);
            left = list_gaps(&world);
        }
        numi_guard_exit();
        EXPECT_EQ(left, 0);
        numi_recover_close(recover);
    }
}

TEST(options_out_of_range_are_named) {
    struct numi_recover_options options;
    struct numi_recover *recover;
    numi_recover_defaults(&options);
    options.range_max = NUMI_RECOVER_RANGE_MAX + 1;
    EXPECT_EQ(numi_recover_open(&recover, &options), NUMI_ERR_ARGUMENT);
    EXPECT(recover == NULL);
    EXPECT_CONTAINS(numi_error_detail(), "range_max=1048577: allowed 1 to 1048576");
    numi_recover_close(recover);
    EXPECT_TEXT(numi_reply_name(NUMI_REPLY_COUNT), "unknown");
}

CHECK_MAIN
