/* Ports that play a tape: the frames of each port of the feed that recorded it, when the step that
 * took them has come.
 *
 *   numi_tape_player_step (now, budget) -> numi_feed_step(now, budget) -> ... -> 0 at the end
 *
 * A step's frames stand before it on the tape, so the player reads ahead for its `now`, and each
 * port reads for itself: whatever the batch or the stages of the feed that plays it, each port has
 * the frames that had arrived by then. */
#ifndef NUMI_PORT_TAPE_H
#define NUMI_PORT_TAPE_H

#include "port/port.h"

struct numi_tape_player;

/* All that numi_tape_reader_open fails with. */
NUMI_API int numi_tape_player_open(struct numi_tape_player **out, const char *path);

/* After its ports. */
NUMI_API void numi_tape_player_close(struct numi_tape_player *player);

/* 1 and the next step's `now` and budget; a budget of 0: the feed was flushed. 0 at the end.
 * NUMI_ERR_CORRUPT as the reader says, and where the tape lost records: what follows would not be
 * what was. */
NUMI_API int numi_tape_player_step(struct numi_tape_player *player, int64_t *now_ns,
                                   uint32_t *budget);

/* The frames of port `number` of the tape. All that numi_tape_reader_open fails with. */
NUMI_API int numi_port_open_tape(struct numi_port **out, struct numi_tape_player *player,
                                 uint32_t number, uint32_t line, struct numi_pool *pool);

#endif
