#include "check.h"

#include "base/error.h"
#include "base/guard.h"
#include "feed/glimpse.h"
#include "feed/merge.h"

enum { STREAM_MAX = 1 << 16, LIVE_MAX = 400 };

static const uint8_t session[NUMI_MOLD_SESSION_SIZE] = "NUMI000001";

/* A server's connection: accepted, three messages, the mark. */
static uint32_t write_snapshot(uint8_t *stream, const char *mark) {
    struct numi_soup_packet packet = {.type = NUMI_SOUP_LOGIN_ACCEPTED, .sequence = 1};
    memcpy(packet.session, "GLIMPSE   ", sizeof packet.session);
    uint32_t size = numi_soup_write(stream, &packet, NULL);
    packet = (struct numi_soup_packet){.type = NUMI_SOUP_SEQUENCED, .payload_size = 5};
    for (int i = 0; i < 3; i++)
        size += numi_soup_write(stream + size, &packet, (const uint8_t *)"order");
    packet.payload_size = (uint32_t)strlen(mark);
    return size + numi_soup_write(stream + size, &packet, (const uint8_t *)mark);
}

/* `count` messages of eight bytes, their sequences. */
static uint64_t write_live(uint8_t *payload, uint64_t sequence, uint16_t count) {
    uint64_t size = numi_mold_write_header(payload, session, sequence, count);
    for (uint16_t i = 0; i < count; i++, size += 10) {
        numi_put_be16(payload + size, 8);
        numi_put_be64(payload + size + 2, sequence + i);
    }
    return size;
}

/* What a merge hands out goes on at `*next`, message by message. */
static void take_runs(struct numi_merge *merge, uint64_t *next) {
    const struct numi_merge_run *run;
    while (numi_merge_next(merge, &run) == 1) {
        NEED(run->bytes != NULL);
        const uint8_t *at = run->bytes;
        for (uint64_t i = 0; i < run->count; i++, (*next)++) {
            uint16_t size;
            EXPECT_EQ(numi_be64(numi_mold_next(&at, &size)), *next);
        }
    }
}

static void push(struct numi_merge *merge, uint64_t *next, const uint8_t *payload, uint64_t size) {
    NEED(numi_merge_push(merge, &(struct numi_merge_packet){.payload = payload, .size = size}) >=
         0);
    take_runs(merge, next);
}

/* Parts of the join into a merge that was just opened. */
static void take_parts(struct numi_glimpse *glimpse, struct numi_merge *merge, uint64_t *next) {
    struct numi_glimpse_part part;
    while (numi_glimpse_next(glimpse, 2, &part))
        if (part.kind == NUMI_GLIMPSE_TAIL)
            push(merge, next, part.payload, part.size);
}

/* Live packets overlap and come early, on time and after the join; the merge begins at the mark. */
static void join_at(uint64_t first) {
    static uint8_t stream[STREAM_MAX], payload[STREAM_MAX];
    struct numi_glimpse_options options;
    struct numi_soup_client_options client;
    struct numi_glimpse *glimpse;
    struct numi_merge *merge;
    char mark[32];
    numi_glimpse_defaults(&options);
    numi_soup_client_defaults(&client);
    options.keep_size = NUMI_GLIMPSE_KEEP_MIN;
    NEED(numi_glimpse_open(&glimpse, &options, &client) == NUMI_OK);
    struct numi_merge_options merging;
    numi_merge_defaults(&merging);
    NEED(numi_merge_open(&merge, &merging, NULL) == NUMI_OK);
    snprintf(mark, sizeof mark, "G%20llu", (unsigned long long)first);
    uint32_t size = write_snapshot(stream, mark);
    uint64_t live = 1, last = 1, next = first, mark_at = check_below(LIVE_MAX - 20);
    EXPECT_EQ(numi_glimpse_step(glimpse, 0), 1);
    numi_soup_client_connected(numi_glimpse_client(glimpse), 0);
    while (live < LIVE_MAX || live <= first) {
        uint16_t count = (uint16_t)check_below(9);
        uint64_t payload_size = write_live(payload, live, count);
        last = live + count > last ? live + count : last;
        numi_guard_enter();
        bool is_kept = numi_glimpse_keep(glimpse, 1, payload, payload_size, 0, 0) == 1;
        if (live > mark_at && size > 0) {
            EXPECT_EQ(numi_soup_client_receive(numi_glimpse_client(glimpse), 1, stream, size),
                      size);
            size = 0;
        }
        numi_guard_exit();
        if (!is_kept)
            push(merge, &next, payload, payload_size);
        take_parts(glimpse, merge, &next);
        live += check_below((uint64_t)count + 1); /* the next one may say some of it again */
    }
    EXPECT_EQ(numi_glimpse_state(glimpse), NUMI_GLIMPSE_JOINED);
    EXPECT_EQ(next, last > first ? last : first);
    EXPECT_EQ(numi_merge_counts(merge)->gaps, 0);
    numi_merge_close(merge);
    numi_glimpse_close(glimpse);
}

TEST(a_merge_goes_on_where_the_snapshot_ends) {
    for (int round = 0; round < 200; round++)
        join_at(1 + check_below(LIVE_MAX));
}

CHECK_MAIN
