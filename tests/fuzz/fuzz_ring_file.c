/* Bytes become a ring file; whatever it says, attaching and using it must stay inside it.
 *
 *   flags | record_size (2) | record_count (4) | pushed (8) | popped (8) | slack (2) | step: verb,
 * argument (4) | step | ...
 *
 * With the flag RAW all the rest is the file as it stands. Without it the head gets its magic,
 * version and checksum (random bytes would never pass them), and behind the ring lies a margin of
 * known bytes that nobody may touch. Steps push, pop and write nonsense over the shared cursors;
 * until the first nonsense a twin knows exactly what each step must return. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

#include "base/crc32c.h"
#include "frame/ring.h"

enum {
    RAW = 1,
    WRONG_CRC = 2,
    CUT_SHORT = 4,
    ONE_END = 8,
    FILE_MAX = 1 << 17,
    MARGIN = 512,
    MARGIN_BYTE = 0x5A,
    BATCH_MAX = 40,
    STEP_MAX = 200,
};

static uint8_t records[BATCH_MAX * NUMI_RING_RECORD_SIZE_MAX];
static uint8_t image[FILE_MAX + MARGIN];

struct twin {
    uint64_t pushed, popped, record_count;
    bool corrupted;
};

static size_t build_raw(struct input *input) {
    size_t size = input->left < FILE_MAX ? input->left : FILE_MAX;
    memcpy(image, input->at, size);
    *input = (struct input){image, 0};
    return size;
}

/* The bytes that a ring of this head takes, 0 where it is none or too large for us. */
static size_t ring_size(const struct numi_ring_shared *head) {
    if (head->record_count < 2 || head->record_count > FILE_MAX || head->record_size < 1 ||
        head->record_size > NUMI_RING_RECORD_SIZE_MAX)
        return 0;
    size_t size = sizeof *head + head->record_count * head->record_size;
    return size <= FILE_MAX ? size : 0;
}

static size_t build_head(struct input *input, uint8_t flags) {
    struct numi_ring_shared head = {.version = NUMI_RING_VERSION};
    memcpy(head.magic, "numiring", 8);
    head.record_size = (uint32_t)input_number(input, 2);
    head.record_count = input_number(input, 4);
    head.pushed = input_number(input, 8);
    head.popped = input_number(input, 8);
    uint64_t slack = input_number(input, 2);
    head.head_crc = numi_crc32c(0, &head, offsetof(struct numi_ring_shared, head_crc));
    if (flags & WRONG_CRC)
        head.head_crc ^= 1u << slack % 32;
    size_t size = ring_size(&head);
    memset(image, 0, size);
    memcpy(image, &head, sizeof head);
    if (size == 0)
        return sizeof head + slack;
    memset(image + size, MARGIN_BYTE, MARGIN);
    return flags & CUT_SHORT ? size - 1 - slack % size : size + MARGIN;
}

static struct numi_ring_shared *map_image(int file, size_t size) {
    MUST(pwrite(file, image, size, 0) == (ssize_t)size);
    size_t mapped = size < sizeof(struct numi_ring_shared) ? sizeof(struct numi_ring_shared) : size;
    void *base = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    MUST(base != MAP_FAILED);
    return base;
}

static void judge(const struct twin *twin, int got, uint64_t wanted, uint64_t possible) {
    if (twin->corrupted) {
        MUST(got == NUMI_ERR_CORRUPT || (got >= 0 && (uint64_t)got <= wanted));
        MUST(got < 0 || (uint64_t)got <= twin->record_count);
        return;
    }
    MUST(got >= 0 && (uint64_t)got == (wanted < possible ? wanted : possible));
}

static void push(struct numi_ring *ring, struct twin *twin, uint32_t count) {
    uint32_t size = ring->record_size;
    for (uint32_t i = 0; i < count; i++)
        memset(records + (size_t)i * size, (int)(twin->pushed + i), size);
    int pushed = count == 1 ? numi_ring_push(&ring->push, records, size)
                            : numi_ring_push_batch(ring, records, count);
    judge(twin, pushed, count, twin->record_count - (twin->pushed - twin->popped));
    twin->pushed += pushed > 0 ? (uint64_t)pushed : 0;
}

/* `first_ours`: records before it were in the file already. */
static void pop(struct numi_ring *ring, struct twin *twin, uint32_t count, uint64_t first_ours) {
    uint32_t size = ring->record_size;
    int popped = count == 1 ? numi_ring_pop(&ring->pop, records, size)
                            : numi_ring_pop_batch(ring, records, count);
    judge(twin, popped, count, twin->pushed - twin->popped);
    for (int i = 0; i < popped && !twin->corrupted; i++)
        if (twin->popped + (uint64_t)i - first_ours <
            UINT64_MAX / 2) /* not before, even round 2^64 */
            MUST(records[(size_t)i * size] == (uint8_t)(twin->popped + (uint64_t)i));
    twin->popped += popped > 0 ? (uint64_t)popped : 0;
}

static void run_steps(struct numi_ring *ring, struct numi_ring_shared *shared,
                      struct input *input) {
    struct twin twin = {shared->pushed, shared->popped, numi_ring_record_count(ring), false};
    uint64_t first_ours = twin.pushed;
    MUST(twin.pushed - twin.popped <= twin.record_count);
    for (int steps = 0; input->left > 0 && steps < STEP_MAX; steps++) {
        uint8_t verb = input_byte(input) % 8;
        uint64_t argument = input_number(input, 4);
        if (verb < 3 && (ring->ends & NUMI_RING_PUSH))
            push(ring, &twin, (uint32_t)(argument % (BATCH_MAX + 1)));
        else if (verb < 6 && (ring->ends & NUMI_RING_POP))
            pop(ring, &twin, (uint32_t)(argument % (BATCH_MAX + 1)), first_ours);
        else if (verb >= 6) {
            twin.corrupted = true;
            uint64_t far = argument & 1 ? argument << 32 : argument >> 24;
            atomic_store(verb == 6 ? &shared->pushed : &shared->popped, twin.pushed + far);
        }
        MUST(numi_ring_size(ring) <= twin.record_count);
    }
}

static void check_margin(const uint8_t *base, size_t size) {
    for (size_t at = size - MARGIN; at < size; at++)
        MUST(base[at] == MARGIN_BYTE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct input input = {data, size};
    uint8_t flags = input_byte(&input);
    bool raw = flags & RAW;
    size_t file_size = raw ? build_raw(&input) : build_head(&input, flags);
    bool has_margin = !raw && !(flags & CUT_SHORT) && ring_size((void *)image) > 0;
    int file = memfd_create("ring", MFD_CLOEXEC);
    MUST(file >= 0);
    struct numi_ring_shared *shared = map_image(file, file_size);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    uint32_t ends = flags & ONE_END ? 1 + (flags >> 4) % 2 : NUMI_RING_BOTH;
    struct numi_ring *ring = NULL;
    int code = numi_ring_attach_file(&ring, path, ends);
    MUST((code == NUMI_OK) == (ring != NULL));
    MUST(code == NUMI_OK || code == NUMI_ERR_CORRUPT || (raw && code == NUMI_ERR_VERSION));
    MUST(code != NUMI_OK || !(flags & (WRONG_CRC | CUT_SHORT)) || raw);
    if (code == NUMI_OK)
        run_steps(ring, shared, &input);
    if (code == NUMI_OK && has_margin)
        check_margin((uint8_t *)shared, file_size);
    numi_ring_close(ring);
    size_t mapped = file_size < sizeof *shared ? sizeof *shared : file_size;
    munmap(shared, mapped);
    close(file);
    return 0;
}
