#include "check.h"

#include "base/ledger.h"

/* Rows below 2^40, so that the model's sums are far from wrapping. */
static uint64_t random_row(void) {
    return check_below((uint64_t)1 << check_below(40));
}

static struct numi_ledger random_ledger(void) {
    struct numi_ledger ledger;
    for (int row = 0; row < NUMI_FRAME_ROW_COUNT; row++)
        ledger.frames[row] = random_row();
    for (int row = 0; row < NUMI_MESSAGE_ROW_COUNT; row++)
        ledger.messages[row] = random_row();
    return ledger;
}

static int64_t frames_out(const struct numi_ledger *ledger) {
    const uint64_t *rows = ledger->frames;
    return (int64_t)(rows[NUMI_FRAMES_DELIVERED] + rows[NUMI_FRAMES_DUPLICATE] +
                     rows[NUMI_FRAMES_STALE] + rows[NUMI_FRAMES_CONTROL] + rows[NUMI_FRAMES_HELD] +
                     rows[NUMI_FRAMES_OUT_OF_WINDOW] + rows[NUMI_FRAMES_MALFORMED] +
                     rows[NUMI_FRAMES_NOT_OURS] + rows[NUMI_FRAMES_QUEUE_FULL]);
}

static int64_t messages_out(const struct numi_ledger *ledger) {
    const uint64_t *rows = ledger->messages;
    return (int64_t)(rows[NUMI_MESSAGES_NEW] + rows[NUMI_MESSAGES_DUPLICATE] +
                     rows[NUMI_MESSAGES_STALE] + rows[NUMI_MESSAGES_HELD] +
                     rows[NUMI_MESSAGES_OUT_OF_WINDOW]);
}

TEST(the_remainder_is_what_no_row_explains) {
    for (int round = 0; round < 2000; round++) {
        struct numi_ledger ledger = random_ledger();
        EXPECT_EQ(numi_ledger_check_frames(&ledger),
                  (int64_t)ledger.frames[NUMI_FRAMES_RECEIVED] - frames_out(&ledger));
        EXPECT_EQ(numi_ledger_check_messages(&ledger),
                  (int64_t)ledger.messages[NUMI_MESSAGES_CARRIED] - messages_out(&ledger));
        ledger.frames[NUMI_FRAMES_RECEIVED] = (uint64_t)frames_out(&ledger);
        ledger.messages[NUMI_MESSAGES_CARRIED] = (uint64_t)messages_out(&ledger);
        EXPECT_EQ(numi_ledger_check_frames(&ledger), 0);
        EXPECT_EQ(numi_ledger_check_messages(&ledger), 0);
    }
}

/* One frame too many in any row shows, with its sign. */
TEST(every_row_counts) {
    for (int row = 0; row < NUMI_FRAME_ROW_COUNT; row++) {
        struct numi_ledger ledger = {0};
        ledger.frames[row] = 1;
        EXPECT_EQ(numi_ledger_check_frames(&ledger), row == NUMI_FRAMES_RECEIVED ? 1 : -1);
        EXPECT_EQ(numi_ledger_check_messages(&ledger), 0);
    }
    for (int row = 0; row < NUMI_MESSAGE_ROW_COUNT; row++) {
        struct numi_ledger ledger = {0};
        ledger.messages[row] = 1;
        EXPECT_EQ(numi_ledger_check_messages(&ledger), row == NUMI_MESSAGES_CARRIED ? 1 : -1);
        EXPECT_EQ(numi_ledger_check_frames(&ledger), 0);
    }
}

TEST(adding_adds_every_row) {
    for (int round = 0; round < 200; round++) {
        struct numi_ledger sum = random_ledger(), before = sum, from = random_ledger();
        numi_ledger_add(&sum, &from);
        for (int row = 0; row < NUMI_FRAME_ROW_COUNT; row++)
            EXPECT_EQ(sum.frames[row], before.frames[row] + from.frames[row]);
        for (int row = 0; row < NUMI_MESSAGE_ROW_COUNT; row++)
            EXPECT_EQ(sum.messages[row], before.messages[row] + from.messages[row]);
    }
}

TEST(the_pools_remainder) {
    struct numi_pool_ledger whole = {
        .size = 10, .available = 5, .held = 3, .lent = 2, .misses = 99};
    EXPECT_EQ(numi_ledger_check_pool(&whole), 0);
    whole.held++;
    EXPECT_EQ(numi_ledger_check_pool(&whole), -1);
    whole.lent -= 2;
    EXPECT_EQ(numi_ledger_check_pool(&whole), 1);
    whole.available--;
    EXPECT_EQ(numi_ledger_check_pool(&whole), 2);
}

TEST(rows_have_their_words) {
    EXPECT_TEXT(numi_ledger_frame_row_name(NUMI_FRAMES_RECEIVED), "received");
    EXPECT_TEXT(numi_ledger_frame_row_name(NUMI_FRAMES_OUT_OF_WINDOW), "out_of_window");
    EXPECT_TEXT(numi_ledger_frame_row_name(NUMI_FRAMES_QUEUE_FULL), "queue_full");
    EXPECT(numi_ledger_frame_row_name(NUMI_FRAME_ROW_COUNT) == NULL);
    EXPECT_TEXT(numi_ledger_message_row_name(NUMI_MESSAGES_CARRIED), "carried");
    EXPECT_TEXT(numi_ledger_message_row_name(NUMI_MESSAGES_NEW), "new");
    EXPECT_TEXT(numi_ledger_message_row_name(NUMI_MESSAGES_OUT_OF_WINDOW), "out_of_window");
    EXPECT(numi_ledger_message_row_name(NUMI_MESSAGE_ROW_COUNT) == NULL);
    EXPECT(numi_ledger_message_row_name(UINT32_MAX) == NULL);
}

CHECK_MAIN
