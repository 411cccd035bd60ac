/* Bytes drive takes, gives, lends and reclaims, foreign and double ones among them, against a twin
 * that knows where each frame is.
 *
 *   frame count | step: verb, index | step | ...
 *
 * Without the dear checks a wrong give can pass for a right one as long as some other frame is
 * held: such steps are left out there, since then even the caller cannot say which frame is whose.
 */
#include "fuzz.h"

#include "frame/pool.h"

enum { FRAME_MAX = 16, FRAME_SIZE = 128, AVAILABLE = 0, HELD = 1, LENT = 2 };

static struct numi_pool pool;
static uint8_t where[FRAME_MAX];
static uint8_t mark[FRAME_MAX]; /* what a held frame's bytes are */
static uint64_t misses, return_drops;

static uint32_t count_in(uint8_t place) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < pool.frame_count; i++)
        count += where[i] == place;
    return count;
}

static void hand_out(uint32_t index) {
    MUST(index < pool.frame_count && where[index] == AVAILABLE);
    where[index] = HELD;
    memset(numi_pool_slot(&pool, index), ++mark[index], FRAME_SIZE);
}

static void take_one(void) {
    struct numi_frame *frame = numi_pool_take(&pool);
    MUST((frame != NULL) == (count_in(AVAILABLE) > 0));
    if (frame == NULL)
        misses++;
    else
        hand_out(frame->index);
}

static void take_batch(uint32_t wanted) {
    uint32_t indices[2 * FRAME_MAX], available = count_in(AVAILABLE);
    uint32_t expected = wanted < available ? wanted : available;
    MUST(numi_pool_take_batch(&pool, indices, wanted) == (int)expected);
    misses += wanted - expected;
    for (uint32_t i = 0; i < expected; i++)
        hand_out(indices[i]);
}

/* Whether the pool can tell that `index` is not in `place`. */
static bool is_telling(uint32_t index, uint8_t place) {
    return NUMI_CHECKS || index >= pool.frame_count || where[index] == place ||
           count_in(place) == 0;
}

static void give(uint32_t index) {
    if (!is_telling(index, HELD))
        return;
    bool foreign = index >= pool.frame_count, held = !foreign && where[index] == HELD;
    for (uint32_t at = 0; held && at < FRAME_SIZE; at++)
        MUST(numi_pool_slot(&pool, index)[at] == mark[index]);
    int code = numi_pool_give(&pool, index);
    MUST(code == (foreign ? NUMI_ERR_FOREIGN : held ? NUMI_OK : NUMI_ERR_DOUBLE_GIVE));
    if (held)
        where[index] = AVAILABLE;
    else
        return_drops++;
}

static void move(uint32_t index, uint8_t from, uint8_t to) {
    if (!is_telling(index, from))
        return;
    bool foreign = index >= pool.frame_count, right = !foreign && where[index] == from;
    int code = to == LENT ? numi_pool_lend(&pool, index) : numi_pool_reclaim(&pool, index);
    MUST(code == (foreign ? NUMI_ERR_FOREIGN : right ? NUMI_OK : NUMI_ERR_DOUBLE_GIVE));
    if (right)
        where[index] = to;
}

static void check_ledger(void) {
    struct numi_pool_ledger ledger;
    numi_pool_ledger(&pool, &ledger);
    MUST(numi_ledger_check_pool(&ledger) == 0);
    MUST(ledger.available == count_in(AVAILABLE));
    MUST(ledger.held == count_in(HELD));
    MUST(ledger.lent == count_in(LENT));
    MUST(ledger.misses == misses);
    MUST(ledger.return_drops == return_drops);
}

static void step(uint8_t verb, uint32_t index) {
    switch (verb % 6) {
    case 0:
        take_one();
        break;
    case 1:
        take_batch(index % (2 * FRAME_MAX));
        break;
    case 2:
    case 3:
        give(index == 255 ? UINT32_MAX : index % (pool.frame_count + 1));
        break;
    case 4:
        move(index % (pool.frame_count + 1), HELD, LENT);
        break;
    default:
        move(index % (pool.frame_count + 1), LENT, HELD);
    }
    check_ledger();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct input input = {data, size};
    uint32_t frame_count = 1 + input_byte(&input) % FRAME_MAX;
    memset(where, AVAILABLE, sizeof where);
    misses = return_drops = 0;
    MUST(numi_pool_open(&pool, frame_count, FRAME_SIZE, NUMI_PAGES_4K, NUMI_NODE_ANY) == NUMI_OK);
    while (input.left > 0) {
        uint8_t verb = input_byte(&input);
        step(verb, input_byte(&input));
    }
    numi_pool_close(&pool);
    return 0;
}
