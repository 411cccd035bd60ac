#include "base/ledger.h"

static_assert(sizeof((struct numi_ledger){0}.frames) == NUMI_FRAME_ROW_COUNT * sizeof(uint64_t),
              "a place for each frame row");
static_assert(sizeof((struct numi_ledger){0}.messages) == NUMI_MESSAGE_ROW_COUNT * sizeof(uint64_t),
              "a place for each message row");

/* The first row came in, every other one is a way out. */
static int64_t remainder_of(const uint64_t *rows, uint32_t count) {
    uint64_t explained = 0;
    for (uint32_t row = 1; row < count; row++)
        explained += rows[row];
    return (int64_t)(rows[0] - explained);
}

int64_t numi_ledger_check_frames(const struct numi_ledger *ledger) {
    return remainder_of(ledger->frames, NUMI_FRAME_ROW_COUNT);
}

int64_t numi_ledger_check_messages(const struct numi_ledger *ledger) {
    return remainder_of(ledger->messages, NUMI_MESSAGE_ROW_COUNT);
}

int64_t numi_ledger_check_pool(const struct numi_pool_ledger *ledger) {
    return (int64_t)(ledger->size - ledger->available - ledger->held - ledger->lent);
}

void numi_ledger_add(struct numi_ledger *ledger, const struct numi_ledger *from) {
    for (uint32_t row = 0; row < NUMI_FRAME_ROW_COUNT; row++)
        ledger->frames[row] += from->frames[row];
    for (uint32_t row = 0; row < NUMI_MESSAGE_ROW_COUNT; row++)
        ledger->messages[row] += from->messages[row];
}

#define ROW_NAME(name, text) #text,

const char *numi_ledger_frame_row_name(uint32_t row) {
    static const char *const names[] = {NUMI_FRAME_ROW_LIST(ROW_NAME)};
    return row < NUMI_FRAME_ROW_COUNT ? names[row] : NULL;
}

const char *numi_ledger_message_row_name(uint32_t row) {
    static const char *const names[] = {NUMI_MESSAGE_ROW_LIST(ROW_NAME)};
    return row < NUMI_MESSAGE_ROW_COUNT ? names[row] : NULL;
}
