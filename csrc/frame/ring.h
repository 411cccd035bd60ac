/* The ring: one thread pushes records, one thread pops them, neither ever waits for the other.
 *
 *   shared memory (private pages, or a file that two processes map)
 *   | head: magic, sizes | pushed | popped | record 0 | record 1 | ... | record n-1 |
 *                          ^ written by the push end    record k lies at place k mod n
 *                                   ^ written by the pop end
 *
 *   private to each end, on lines of its own: its cursor once more, and its limit, which is how far
 *   the cursor may go by what was last seen of the other's
 *
 * `pushed` and `popped` count records since the beginning and never wrap. An end looks at the
 * other's cursor only when its own has reached the limit: so in a burst one end does not pull the
 * other's cache line at all. The places follow from private sizes, so that whatever a broken peer
 * writes, no access leaves the mapping.
 *
 * Why a private copy of a cursor that only this end writes: reading the shared one back costs
 * nothing on one core, but most of the throughput between two (docs/decisions/0003-ring.md).
 *
 * Memory order, all there is: an end looks at the other's cursor with acquire before it touches any
 * record beyond its limit, and publishes its own with release when it is done with the records.
 * tests/c/ring_explorer.c runs this very code through every execution
 * that C11 allows for it, and through each of these four orders weakened.
 *
 * Returns are counts. A file whose cursors contradict each other (more popped than pushed, or more
 * held than fit) is NUMI_ERR_CORRUPT at the push or pop that sees it: a broken peer can make this
 * end stop, not run astray. */
#ifndef NUMI_FRAME_RING_H
#define NUMI_FRAME_RING_H

#include "base/error.h"
#include "base/memory.h"

enum numi_ring_limit {
    NUMI_RING_RECORD_SIZE_MAX = 4096,
    NUMI_RING_RECORD_COUNT_MAX = 1 << 28,
    NUMI_RING_VERSION = 1,
};

enum numi_ring_end {
    NUMI_RING_PUSH = 1,
    NUMI_RING_POP = 2,
    NUMI_RING_BOTH = 3,
};

#ifndef NUMI_CDEF
#include <stdatomic.h>
#include <string.h>

/* The seams where the explorer (and a planted fault) comes in. */
#ifndef NUMI_RING_LOAD
#define NUMI_RING_LOAD(cursor, order)         atomic_load_explicit(cursor, order)
#define NUMI_RING_STORE(cursor, value, order) atomic_store_explicit(cursor, value, order)
#define NUMI_RING_WRITE(place, from, size)    memcpy(place, from, size)
#define NUMI_RING_READ(to, place, size)       memcpy(to, place, size)
#endif
#ifndef NUMI_RING_ORDER_PUSHED_STORE
#define NUMI_RING_ORDER_PUSHED_STORE memory_order_release
#endif
#ifndef NUMI_RING_ORDER_POPPED_STORE
#define NUMI_RING_ORDER_POPPED_STORE memory_order_release
#endif
#ifndef NUMI_RING_ORDER_PUSHED_LOAD
#define NUMI_RING_ORDER_PUSHED_LOAD memory_order_acquire
#endif
#ifndef NUMI_RING_ORDER_POPPED_LOAD
#define NUMI_RING_ORDER_POPPED_LOAD memory_order_acquire
#endif

/* What both ends map. Part of the file format: fixed offsets, little-endian. */
struct numi_ring_shared {
    uint8_t magic[8]; /* "numiring" */
    uint32_t version;
    uint32_t record_size;
    uint64_t record_count;
    uint32_t head_crc; /* CRC32C of the fields above */
    uint8_t reserved[NUMI_SHARING_SIZE - 28];
    _Atomic uint64_t pushed;
    uint8_t pushed_line[NUMI_SHARING_SIZE - 8];
    _Atomic uint64_t popped;
    uint8_t popped_line[NUMI_SHARING_SIZE - 8];
    uint8_t records[];
};
static_assert(sizeof(struct numi_ring_shared) == 3 * NUMI_SHARING_SIZE, "part of the file format");
static_assert(offsetof(struct numi_ring_shared, pushed) == NUMI_SHARING_SIZE, "a line of its own");
static_assert(offsetof(struct numi_ring_shared, popped) == 2 * NUMI_SHARING_SIZE,
              "a line of its own");

/* One end; only its own thread touches it. */
struct numi_ring_side {
    struct numi_ring_shared *shared;
    uint64_t own;   /* this end's cursor, as published; written last, else it costs a nanosecond */
    uint64_t limit; /* push: popped as last seen, plus the record count; pop: pushed as last seen */
    uint64_t mask;  /* record count - 1 */
    uint64_t stalls; /* pushes and pops that got less than they asked for */
} NUMI_ALIGNED(NUMI_SHARING_SIZE);

struct numi_ring {
    struct numi_ring_side push;
    struct numi_ring_side pop;
    struct numi_memory memory; /* in process: the region; mapped file: only base and size */
    uint32_t record_size;
    uint32_t ends; /* enum numi_ring_end: what this handle may do */
    int file;      /* -1 in process */
};

#else
struct numi_ring;
#endif

/* A ring inside this process, both ends. `record_size` 1 to 4096 bytes, `record_count` a power of
 * two from 2. NUMI_ERR_ARGUMENT, NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_ring_open(struct numi_ring **out, uint32_t record_size, uint32_t record_count,
                            uint32_t pages);

/* Makes a ring file that two processes can attach to; best on a tmpfs such as /dev/shm.
 * NUMI_ERR_EXISTS where the path is taken, NUMI_ERR_ARGUMENT, NUMI_ERR_SYSTEM. */
NUMI_API int numi_ring_create_file(const char *path, uint32_t record_size, uint32_t record_count);

/* Attaches to one end of a ring file (or both), where the last holder of that end left off. The
 * kernel drops the claim when the process ends, however it ends; a forked child holds it too.
 * NUMI_ERR_BUSY: another process holds the end; NUMI_ERR_CORRUPT, NUMI_ERR_VERSION,
 * NUMI_ERR_NOT_FOUND, NUMI_ERR_PERMISSION. The file must not be cut short while attached. */
NUMI_API int numi_ring_attach_file(struct numi_ring **out, const char *path, uint32_t ends);

NUMI_API void numi_ring_close(struct numi_ring *ring);

/* Pushes up to `count` records, one after the other in `records`; returns how many fitted, or
 * NUMI_ERR_CORRUPT. */
NUMI_API int numi_ring_push_batch(struct numi_ring *ring, const void *records, uint32_t count);

/* Pops up to `count` records into `records`; returns how many there were, or NUMI_ERR_CORRUPT. */
NUMI_API int numi_ring_pop_batch(struct numi_ring *ring, void *records, uint32_t count);

/* Records pushed and not yet popped, as seen from outside: exact only while both ends rest. */
NUMI_API uint64_t numi_ring_size(const struct numi_ring *ring);
NUMI_API uint64_t numi_ring_record_count(const struct numi_ring *ring);
NUMI_API uint32_t numi_ring_record_size(const struct numi_ring *ring);

/* Pushes that found less room than they asked for, pops that found fewer records, by this handle.
 */
NUMI_API uint64_t numi_ring_push_stalls(const struct numi_ring *ring);
NUMI_API uint64_t numi_ring_pop_stalls(const struct numi_ring *ring);

#ifndef NUMI_CDEF

/* Looks at the pop end. Returns the free places from `cursor` on; below 0: the cursors contradict
 * each other. */
static inline int64_t numi_ring_look_for_room(struct numi_ring_side *side, uint64_t cursor,
                                              uint32_t wanted) {
    uint64_t popped = NUMI_RING_LOAD(&side->shared->popped, NUMI_RING_ORDER_POPPED_LOAD);
    if (NUMI_UNLIKELY(cursor - popped > side->mask + 1))
        return NUMI_ERR_CORRUPT;
    side->limit = popped + side->mask + 1;
    int64_t room = (int64_t)(side->limit - cursor);
    side->stalls += room < (int64_t)wanted;
    return room;
}

/* Looks at the push end. Returns the records waiting from `cursor` on. */
static inline int64_t numi_ring_look_for_records(struct numi_ring_side *side, uint64_t cursor,
                                                 uint32_t wanted) {
    uint64_t pushed = NUMI_RING_LOAD(&side->shared->pushed, NUMI_RING_ORDER_PUSHED_LOAD);
    if (NUMI_UNLIKELY(pushed - cursor > side->mask + 1))
        return NUMI_ERR_CORRUPT;
    side->limit = pushed;
    int64_t waiting = (int64_t)(pushed - cursor);
    side->stalls += waiting < (int64_t)wanted;
    return waiting;
}

/* The same, by what is known already when that is enough. */
static inline int64_t numi_ring_room(struct numi_ring_side *side, uint64_t cursor,
                                     uint32_t wanted) {
    int64_t room = (int64_t)(side->limit - cursor);
    return NUMI_LIKELY(room >= (int64_t)wanted) ? room
                                                : numi_ring_look_for_room(side, cursor, wanted);
}

static inline int64_t numi_ring_waiting(struct numi_ring_side *side, uint64_t cursor,
                                        uint32_t wanted) {
    int64_t waiting = (int64_t)(side->limit - cursor);
    return NUMI_LIKELY(waiting >= (int64_t)wanted)
               ? waiting
               : numi_ring_look_for_records(side, cursor, wanted);
}

/* The place of the record at `cursor`; `shared` is the side's, which the caller keeps in a
 * register. */
static inline uint8_t *numi_ring_place(const struct numi_ring_side *side,
                                       struct numi_ring_shared *shared, uint64_t cursor,
                                       uint32_t record_size) {
    return shared->records + (cursor & side->mask) * record_size;
}

/* One record; `record_size` is the ring's, given as a constant so that the copy becomes a move or
 * two. Returns 1, 0 when full, or NUMI_ERR_CORRUPT. */
static inline int numi_ring_push(struct numi_ring_side *side, const void *record,
                                 uint32_t record_size) {
    struct numi_ring_shared *shared = side->shared;
    uint64_t cursor = side->own;
    if (NUMI_UNLIKELY(cursor == side->limit)) {
        int64_t room = numi_ring_look_for_room(side, cursor, 1);
        if (room <= 0)
            return (int)room;
    }
    NUMI_RING_WRITE(numi_ring_place(side, shared, cursor, record_size), record, record_size);
    NUMI_RING_STORE(&shared->pushed, cursor + 1, NUMI_RING_ORDER_PUSHED_STORE);
    side->own = cursor + 1;
    return 1;
}

/* One record; returns 1, 0 when empty, or NUMI_ERR_CORRUPT. */
static inline int numi_ring_pop(struct numi_ring_side *side, void *record, uint32_t record_size) {
    struct numi_ring_shared *shared = side->shared;
    uint64_t cursor = side->own;
    if (NUMI_UNLIKELY(cursor == side->limit)) {
        int64_t waiting = numi_ring_look_for_records(side, cursor, 1);
        if (waiting <= 0)
            return (int)waiting;
    }
    NUMI_RING_READ(record, numi_ring_place(side, shared, cursor, record_size), record_size);
    NUMI_RING_STORE(&shared->popped, cursor + 1, NUMI_RING_ORDER_POPPED_STORE);
    side->own = cursor + 1;
    return 1;
}

/* How many of `count` records from `cursor` on lie before the wrap. */
static inline uint64_t numi_ring_before_wrap(const struct numi_ring_side *side, uint64_t cursor,
                                             uint64_t count) {
    uint64_t to_end = side->mask + 1 - (cursor & side->mask);
    return count < to_end ? count : to_end;
}

/* Up to `count` records with one look and one publication. */
static inline int numi_ring_push_many(struct numi_ring_side *side, const void *records,
                                      uint32_t count, uint32_t record_size) {
    struct numi_ring_shared *shared = side->shared;
    uint64_t cursor = side->own;
    int64_t room = numi_ring_room(side, cursor, count);
    if (NUMI_UNLIKELY(room <= 0))
        return (int)room;
    uint64_t pushed = (uint64_t)room < count ? (uint64_t)room : count;
    uint64_t first = numi_ring_before_wrap(side, cursor, pushed);
    const uint8_t *from = records;
    NUMI_RING_WRITE(numi_ring_place(side, shared, cursor, record_size), from, first * record_size);
    if (first < pushed)
        NUMI_RING_WRITE(shared->records, from + first * record_size,
                        (pushed - first) * record_size);
    NUMI_RING_STORE(&shared->pushed, cursor + pushed, NUMI_RING_ORDER_PUSHED_STORE);
    side->own = cursor + pushed;
    return (int)pushed;
}

static inline int numi_ring_pop_many(struct numi_ring_side *side, void *records, uint32_t count,
                                     uint32_t record_size) {
    struct numi_ring_shared *shared = side->shared;
    uint64_t cursor = side->own;
    int64_t waiting = numi_ring_waiting(side, cursor, count);
    if (NUMI_UNLIKELY(waiting <= 0))
        return (int)waiting;
    uint64_t popped = (uint64_t)waiting < count ? (uint64_t)waiting : count;
    uint64_t first = numi_ring_before_wrap(side, cursor, popped);
    uint8_t *to = records;
    NUMI_RING_READ(to, numi_ring_place(side, shared, cursor, record_size), first * record_size);
    if (first < popped)
        NUMI_RING_READ(to + first * record_size, shared->records, (popped - first) * record_size);
    NUMI_RING_STORE(&shared->popped, cursor + popped, NUMI_RING_ORDER_POPPED_STORE);
    side->own = cursor + popped;
    return (int)popped;
}

#endif
#endif
