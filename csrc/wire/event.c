#include "wire/event.h"

#include <stdlib.h>

/* The hash is compiled in: no library at run time. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/error.h"

struct numi_event_hash {
    XXH3_state_t state; /* asks for 64-byte alignment */
};

int numi_event_hash_open(struct numi_event_hash **out) {
    struct numi_event_hash *hash = aligned_alloc(NUMI_CACHE_LINE_SIZE, sizeof *hash);
    if (hash == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "event hash");
    XXH3_INITSTATE(&hash->state);
    XXH3_64bits_reset(&hash->state);
    *out = hash;
    return NUMI_OK;
}

void numi_event_hash_close(struct numi_event_hash *hash) {
    free(hash);
}

void numi_event_hash_add(struct numi_event_hash *hash, const struct numi_event *events,
                         uint64_t count) {
    enum { BATCH = 16 }; /* the hash takes long stretches faster than single records */
    struct numi_event bare[BATCH];
    while (count > 0) {
        uint64_t take = count < BATCH ? count : BATCH;
        for (uint64_t i = 0; i < take; i++) {
            bare[i] = events[i];
            bare[i].rx_ns = 0;
            bare[i].flags &= (uint16_t)~NUMI_EVENT_STAMP;
        }
        XXH3_64bits_update(&hash->state, bare, take * sizeof bare[0]);
        events += take;
        count -= take;
    }
}

uint64_t numi_event_hash_digest(const struct numi_event_hash *hash) {
    return XXH3_64bits_digest(&hash->state);
}
