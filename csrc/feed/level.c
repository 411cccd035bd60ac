#include "feed/level.h"

#include <string.h>

void numi_level_lengthen(struct numi_level *level, struct numi_order *orders) {
    uint32_t queue[NUMI_LEVEL_SHORT + 2] = {0};
    memcpy(queue + 1, level->queue, sizeof level->queue);
    for (int i = 1; i <= NUMI_LEVEL_SHORT; i++) {
        orders[queue[i]].previous = queue[i - 1];
        orders[queue[i]].next = queue[i + 1];
    }
    level->is_long = 1;
    level->front = queue[1];
    level->back = queue[NUMI_LEVEL_SHORT];
}

void numi_level_shorten(struct numi_level *level, const struct numi_order *orders) {
    uint32_t number = level->front;
    memset(level->queue, 0, sizeof level->queue);
    for (uint32_t i = 0; i < level->count; i++) {
        level->queue[i] = number;
        number = orders[number].next;
    }
    level->is_long = 0;
}
