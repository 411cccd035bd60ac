#include "feed/kept.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"

int numi_kept_open(struct numi_kept *kept, uint64_t size) {
    *kept = (struct numi_kept){.ring = malloc(size), .size = size, .wrap = size};
    return kept->ring != NULL ? NUMI_OK
                              : numi_error_set(NUMI_ERR_NO_MEMORY, "%llu bytes for live packets",
                                               (unsigned long long)size);
}

void numi_kept_close(struct numi_kept *kept) {
    free(kept->ring);
    kept->ring = NULL;
}

void numi_kept_clear(struct numi_kept *kept) {
    kept->head = kept->tail = kept->count = 0;
    kept->wrap = kept->size;
}

static uint64_t stride_of(uint32_t size) {
    return numi_round_up(sizeof(struct numi_kept_packet) + size, 8);
}

static struct numi_kept_packet *at(const struct numi_kept *kept, uint64_t offset) {
    return (struct numi_kept_packet *)(kept->ring + offset);
}

struct numi_kept_packet *numi_kept_pop(struct numi_kept *kept) {
    if (kept->count == 0)
        return NULL;
    struct numi_kept_packet *packet = at(kept, kept->head);
    kept->head += stride_of(packet->size);
    kept->count--;
    if (kept->head == kept->wrap) {
        kept->head = 0;
        kept->wrap = kept->size;
    }
    return packet;
}

/* Where `stride` bytes may lie, or false: then the oldest has to go. */
static bool find_place(struct numi_kept *kept, uint64_t stride) {
    if (kept->count == 0)
        numi_kept_clear(kept);
    bool has_wrapped = kept->count > 0 && kept->tail <= kept->head;
    if (has_wrapped)
        return stride <= kept->head - kept->tail;
    if (stride <= kept->size - kept->tail)
        return true;
    if (stride > kept->head)
        return false;
    kept->wrap = kept->tail;
    kept->tail = 0;
    return true;
}

uint64_t numi_kept_push(struct numi_kept *kept, const uint8_t *payload, uint32_t size,
                        int64_t rx_ns, uint16_t flags) {
    uint64_t gone = 0, stride = stride_of(size);
    NUMI_REQUIRE(stride <= kept->size);
    while (!find_place(kept, stride)) {
        numi_kept_pop(kept);
        gone++;
    }
    struct numi_kept_packet *packet = at(kept, kept->tail);
    *packet = (struct numi_kept_packet){.rx_ns = rx_ns, .size = size, .flags = flags};
    memcpy(packet->bytes, payload, size);
    kept->tail += stride;
    kept->count++;
    return gone;
}

const struct numi_kept_packet *numi_kept_after(const struct numi_kept *kept,
                                               const struct numi_kept_packet *packet) {
    if (kept->count == 0)
        return NULL;
    if (packet == NULL)
        return at(kept, kept->head);
    uint64_t offset = (uint64_t)((const uint8_t *)packet - kept->ring) + stride_of(packet->size);
    if (offset == kept->tail)
        return NULL;
    return at(kept, offset == kept->wrap ? 0 : offset);
}
