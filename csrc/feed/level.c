#include "feed/level.h"

#include <string.h>

void numi_level_lengthen(struct numi_level *level, struct numi_order_link *links) {
    uint32_t queue[NUMI_LEVEL_SHORT + 2] = {0};
    memcpy(queue + 1, level->queue, sizeof level->queue);
    for (int i = 1; i <= NUMI_LEVEL_SHORT; i++)
        links[queue[i]] = (struct numi_order_link){.previous = queue[i - 1], .next = queue[i + 1]};
    level->is_long = 1;
    level->front = queue[1];
    level->back = queue[NUMI_LEVEL_SHORT];
}

void numi_level_shorten(struct numi_level *level, const struct numi_order_link *links) {
    uint32_t number = level->front;
    memset(level->queue, 0, sizeof level->queue);
    for (uint32_t i = 0; i < level->count; i++) {
        level->queue[i] = number;
        number = links[number].next;
    }
    level->is_long = 0;
}

static void relink(struct numi_level *level, struct numi_order_link *links, uint32_t from,
                   uint32_t to) {
    struct numi_order_link link = links[from];
    links[to] = link;
    *(link.previous != 0 ? &links[link.previous].next : &level->front) = to;
    *(link.next != 0 ? &links[link.next].previous : &level->back) = to;
}

void numi_level_rename(struct numi_level *level, struct numi_order_link *links, uint32_t from,
                       uint32_t to) {
    if (level->is_long) {
        relink(level, links, from, to);
        return;
    }
    for (int i = 0; i < NUMI_LEVEL_SHORT; i++)
        level->queue[i] = level->queue[i] == from ? to : level->queue[i];
}
