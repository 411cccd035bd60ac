#define _GNU_SOURCE
#include "frame/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/crc32c.h"

static const char ring_magic[8] = {'n', 'u', 'm', 'i', 'r', 'i', 'n', 'g'};

static int check_options(uint32_t record_size, uint32_t record_count) {
    if (record_size < 1 || record_size > NUMI_RING_RECORD_SIZE_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "ring records of %u bytes: allowed 1 to %d",
                              record_size, NUMI_RING_RECORD_SIZE_MAX);
    if (record_count < 2 || record_count > NUMI_RING_RECORD_COUNT_MAX ||
        !numi_is_power_of_two(record_count))
        return numi_error_set(NUMI_ERR_ARGUMENT,
                              "ring of %u records: allowed a power of two from 2 to %d",
                              record_count, NUMI_RING_RECORD_COUNT_MAX);
    return NUMI_OK;
}

static uint64_t shared_size(uint32_t record_size, uint64_t record_count) {
    return sizeof(struct numi_ring_shared) + record_count * record_size;
}

static void write_head(struct numi_ring_shared *shared, uint32_t record_size,
                       uint64_t record_count) {
    memset(shared, 0, sizeof *shared);
    memcpy(shared->magic, ring_magic, sizeof ring_magic);
    shared->version = NUMI_RING_VERSION;
    shared->record_size = record_size;
    shared->record_count = record_count;
    shared->head_crc = numi_crc32c(0, shared, offsetof(struct numi_ring_shared, head_crc));
}

static struct numi_ring *new_handle(void) {
    struct numi_ring *ring = aligned_alloc(NUMI_SHARING_SIZE, sizeof *ring);
    if (ring != NULL) {
        memset(ring, 0, sizeof *ring);
        ring->file = -1;
    }
    return ring;
}

/* Both ends go on where the cursors stood when `head` was read; the sizes are kept privately.
 * Nothing is read a second time, so that a peer cannot change what was checked. */
static void bind_sides(struct numi_ring *ring, const struct numi_ring_shared *head, uint32_t ends) {
    uint64_t record_count = head->record_count, pushed = head->pushed, popped = head->popped;
    struct numi_ring_side side = {.shared = (struct numi_ring_shared *)ring->memory.base,
                                  .mask = record_count - 1};
    ring->push = ring->pop = side;
    ring->push.own = ring->pop.limit = pushed;
    ring->pop.own = popped;
    ring->push.limit = popped + record_count;
    ring->record_size = head->record_size;
    ring->ends = ends;
}

int numi_ring_open(struct numi_ring **out, uint32_t record_size, uint32_t record_count,
                   uint32_t pages) {
    int code = check_options(record_size, record_count);
    if (code != NUMI_OK)
        return code;
    struct numi_ring *ring = new_handle();
    if (ring == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "ring handle");
    code = numi_memory_open(&ring->memory, shared_size(record_size, record_count), pages,
                            NUMI_NODE_ANY);
    if (code != NUMI_OK) {
        free(ring);
        return code;
    }
    struct numi_ring_shared *head = (struct numi_ring_shared *)ring->memory.base;
    write_head(head, record_size, record_count);
    bind_sides(ring, head, NUMI_RING_BOTH);
    *out = ring;
    return NUMI_OK;
}

/* posix_fallocate, not ftruncate: a full disk is an error here, not a SIGBUS at the first push. */
static int fill_file(int file, const char *path, uint32_t record_size, uint32_t record_count) {
    int error = posix_fallocate(file, 0, (off_t)shared_size(record_size, record_count));
    if (error != 0)
        return numi_error_set_errno(error, "ring file %s: making room", path);
    struct numi_ring_shared head;
    write_head(&head, record_size, record_count);
    if (pwrite(file, &head, sizeof head, 0) != (ssize_t)sizeof head)
        return numi_error_set_errno(errno, "ring file %s: writing its head", path);
    return NUMI_OK;
}

/* Under a name of its own until it is whole: a peer that polls for the file never sees half of it.
 */
static int create_whole(const char *path, uint32_t record_size, uint32_t record_count) {
    char draft[PATH_MAX];
    int length = snprintf(draft, sizeof draft, "%s.%d.draft", path, (int)getpid());
    if (length < 0 || (size_t)length >= sizeof draft)
        return numi_error_set_errno(ENAMETOOLONG, "ring file %s", path);
    int file = open(draft, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return numi_error_set_errno(errno, "ring file %s", path);
    int code = fill_file(file, path, record_size, record_count);
    close(file);
    if (code == NUMI_OK && link(draft, path) != 0)
        code = numi_error_set_errno(errno, "ring file %s", path);
    unlink(draft);
    return code;
}

int numi_ring_create_file(const char *path, uint32_t record_size, uint32_t record_count) {
    int code = check_options(record_size, record_count);
    return code == NUMI_OK ? create_whole(path, record_size, record_count) : code;
}

/* Byte 1 of the file stands for the push end, byte 2 for the pop end. */
static int claim_end(int file, const char *path, uint32_t end) {
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)end, .l_len = 1};
    if (fcntl(file, F_OFD_SETLK, &lock) == 0)
        return NUMI_OK;
    if (errno == EAGAIN || errno == EACCES)
        return numi_error_set(NUMI_ERR_BUSY, "ring file %s: its %s end is held already", path,
                              end == NUMI_RING_PUSH ? "push" : "pop");
    return numi_error_set_errno(errno, "ring file %s: claiming an end", path);
}

static int claim_ends(int file, const char *path, uint32_t ends) {
    int code = NUMI_OK;
    if (ends & NUMI_RING_PUSH)
        code = claim_end(file, path, NUMI_RING_PUSH);
    if (code == NUMI_OK && (ends & NUMI_RING_POP))
        code = claim_end(file, path, NUMI_RING_POP);
    return code;
}

/* `head` is a private copy: what was checked is what is used. */
static int check_head(const struct numi_ring_shared *head, uint64_t file_size, const char *path) {
    if (memcmp(head->magic, ring_magic, sizeof ring_magic) != 0)
        return numi_error_set(NUMI_ERR_CORRUPT, "%s: not a ring file (offset 0)", path);
    if (head->version != NUMI_RING_VERSION)
        return numi_error_set(NUMI_ERR_VERSION, "%s: ring format %u, this build reads %d", path,
                              head->version, NUMI_RING_VERSION);
    if (head->head_crc != numi_crc32c(0, head, offsetof(struct numi_ring_shared, head_crc)))
        return numi_error_set(NUMI_ERR_CORRUPT, "%s: ring head fails its checksum (offset %zu)",
                              path, offsetof(struct numi_ring_shared, head_crc));
    if (head->record_count > NUMI_RING_RECORD_COUNT_MAX ||
        check_options(head->record_size, (uint32_t)head->record_count) != NUMI_OK)
        return numi_error_set(NUMI_ERR_CORRUPT, "%s: ring of %llu records of %u bytes", path,
                              (unsigned long long)head->record_count, head->record_size);
    if (file_size < shared_size(head->record_size, head->record_count))
        return numi_error_set(NUMI_ERR_CORRUPT, "%s: ring file cut short at %llu bytes", path,
                              (unsigned long long)file_size);
    return NUMI_OK;
}

static int check_cursors(const struct numi_ring_shared *head, const char *path) {
    if (head->pushed - head->popped > head->record_count)
        return numi_error_set(NUMI_ERR_CORRUPT, "%s: ring cursors contradict each other", path);
    return NUMI_OK;
}

/* The head is checked on a private copy before anything is mapped, the cursors on what is mapped.
 */
static int read_head(const struct numi_ring *ring, const char *path,
                     struct numi_ring_shared *head) {
    struct stat status;
    if (fstat(ring->file, &status) != 0)
        return numi_error_set_errno(errno, "ring file %s", path);
    ssize_t got = pread(ring->file, head, sizeof *head, 0);
    if (got < 0)
        return numi_error_set_errno(errno, "ring file %s: reading its head", path);
    if ((size_t)got < sizeof *head)
        return numi_error_set(NUMI_ERR_CORRUPT, "%s: too short for a ring file (%lld bytes)", path,
                              (long long)status.st_size);
    return check_head(head, (uint64_t)status.st_size, path);
}

static int map_file(struct numi_ring *ring, const char *path, uint32_t ends) {
    struct numi_ring_shared head;
    int code = read_head(ring, path, &head);
    if (code != NUMI_OK)
        return code;
    uint64_t size = shared_size(head.record_size, head.record_count);
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->file, 0);
    if (base == MAP_FAILED)
        return numi_error_set_errno(errno, "ring file %s: mapping it", path);
    ring->memory.base = base;
    ring->memory.size = size;
    const struct numi_ring_shared *shared = base;
    head.pushed = atomic_load_explicit(&shared->pushed, memory_order_acquire);
    head.popped = atomic_load_explicit(&shared->popped, memory_order_acquire);
    code = check_cursors(&head, path);
    if (code == NUMI_OK)
        bind_sides(ring, &head, ends);
    return code;
}

int numi_ring_attach_file(struct numi_ring **out, const char *path, uint32_t ends) {
    if (ends < NUMI_RING_PUSH || ends > NUMI_RING_BOTH)
        return numi_error_set(NUMI_ERR_ARGUMENT,
                              "ring ends %u: allowed 1 (push), 2 (pop), 3 (both)", ends);
    struct numi_ring *ring = new_handle();
    if (ring == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "ring handle");
    ring->file = open(path, O_RDWR | O_CLOEXEC);
    int code = ring->file < 0 ? numi_error_set_errno(errno, "ring file %s", path)
                              : claim_ends(ring->file, path, ends);
    if (code == NUMI_OK)
        code = map_file(ring, path, ends);
    if (code != NUMI_OK) {
        numi_ring_close(ring);
        return code;
    }
    *out = ring;
    return NUMI_OK;
}

void numi_ring_close(struct numi_ring *ring) {
    if (ring == NULL)
        return;
    numi_memory_close(&ring->memory);
    if (ring->file >= 0)
        close(ring->file);
    free(ring);
}

int numi_ring_push_batch(struct numi_ring *ring, const void *records, uint32_t count) {
    if (!(ring->ends & NUMI_RING_PUSH))
        return numi_error_set(NUMI_ERR_ARGUMENT, "this handle holds the pop end only");
    if (count == 0)
        return 0;
    int pushed = numi_ring_push_many(&ring->push, records, count, ring->record_size);
    if (pushed < 0)
        numi_error_set(pushed, "ring cursors contradict each other: the pop end is broken");
    return pushed;
}

int numi_ring_pop_batch(struct numi_ring *ring, void *records, uint32_t count) {
    if (!(ring->ends & NUMI_RING_POP))
        return numi_error_set(NUMI_ERR_ARGUMENT, "this handle holds the push end only");
    if (count == 0)
        return 0;
    int popped = numi_ring_pop_many(&ring->pop, records, count, ring->record_size);
    if (popped < 0)
        numi_error_set(popped, "ring cursors contradict each other: the push end is broken");
    return popped;
}

uint64_t numi_ring_size(const struct numi_ring *ring) {
    const struct numi_ring_shared *shared = ring->push.shared;
    uint64_t popped = atomic_load_explicit(&shared->popped, memory_order_acquire);
    uint64_t size = atomic_load_explicit(&shared->pushed, memory_order_acquire) - popped;
    return size < numi_ring_record_count(ring) ? size : numi_ring_record_count(ring);
}

uint64_t numi_ring_record_count(const struct numi_ring *ring) {
    return ring->push.mask + 1;
}

uint32_t numi_ring_record_size(const struct numi_ring *ring) {
    return ring->record_size;
}

uint64_t numi_ring_push_stalls(const struct numi_ring *ring) {
    return ring->push.stalls;
}

uint64_t numi_ring_pop_stalls(const struct numi_ring *ring) {
    return ring->pop.stalls;
}
