#include "port/tape.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "disk/tape_read.h"

struct numi_tape_player {
    struct numi_tape_reader *reader; /* for steps */
    uint64_t begun;                  /* steps handed out */
    char path[];
};

struct played {
    struct numi_port port;
    const struct numi_tape_player *player;
    struct numi_tape_reader *reader; /* for this port's frames */
    struct numi_tape_record record;  /* the next one */
    bool has_record;
    int code;        /* why there is none: not NUMI_OK at the end */
    uint64_t passed; /* steps that the reader has left behind it */
};

int numi_tape_player_open(struct numi_tape_player **out, const char *path) {
    *out = NULL;
    uint64_t size = strlen(path) + 1;
    struct numi_tape_player *player = calloc(1, sizeof *player + size);
    if (player == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a tape's player");
    memcpy(player->path, path, size);
    int code = numi_tape_reader_open(&player->reader, path);
    if (code != NUMI_OK) {
        numi_tape_player_close(player);
        return code;
    }
    *out = player;
    return NUMI_OK;
}

void numi_tape_player_close(struct numi_tape_player *player) {
    if (player == NULL)
        return;
    numi_tape_reader_close(player->reader);
    free(player);
}

static int refuse_loss(const struct numi_tape_record *record) {
    return numi_error_set(NUMI_ERR_CORRUPT,
                          "record %llu of segment %llu: the tape lacks what came here, so what "
                          "follows would not be what was",
                          (unsigned long long)record->number, (unsigned long long)record->segment);
}

int numi_tape_player_step(struct numi_tape_player *player, int64_t *now_ns, uint32_t *budget) {
    struct numi_tape_record record;
    int code;
    while ((code = numi_tape_reader_next(player->reader, &record)) == 1) {
        if (record.kind == NUMI_TAPE_LOST || record.kind == NUMI_TAPE_MISSING)
            return refuse_loss(&record);
        if (record.kind != NUMI_TAPE_STEP)
            continue;
        *now_ns = record.now_ns;
        *budget = record.budget;
        player->begun++;
        return 1;
    }
    return code;
}

static void read_on(struct played *played) {
    int code = numi_tape_reader_next(played->reader, &played->record);
    played->has_record = code == 1;
    if (code != 1)
        played->code = code == 0 ? NUMI_ERR_NOT_FOUND : code;
}

/* Whether a frame of this port is next, of a step that has begun. */
static bool find(struct played *played) {
    for (;; played->has_record = false) {
        if (!played->has_record && played->code == NUMI_OK)
            read_on(played);
        if (!played->has_record || played->passed == played->player->begun)
            return false;
        if (played->record.kind == NUMI_TAPE_FRAME &&
            played->record.frame.port == played->port.number)
            return true;
        played->passed += played->record.kind == NUMI_TAPE_STEP;
    }
}

static int refuse_size(const struct numi_tape_record *record, const struct numi_pool *pool) {
    return numi_error_set(
        NUMI_ERR_ARGUMENT,
        "record %llu of segment %llu: a frame of %u bytes, those of the pool have "
        "%u: replay with a larger frame_size",
        (unsigned long long)record->number, (unsigned long long)record->segment, record->size,
        1u << pool->slot_shift);
}

static void fill(struct numi_pool *pool, struct numi_frame *frame,
                 const struct numi_tape_record *record) {
    uint32_t index = frame->index;
    uint8_t state = frame->state;
    *frame = record->frame;
    frame->index = index;
    frame->state = state;
    memcpy(numi_pool_slot(pool, index), record->data, record->size);
}

static int poll(struct numi_port *port, int64_t now_ns, uint32_t *frames, uint32_t frame_max) {
    struct played *played = (struct played *)port;
    uint32_t count = 0;
    (void)now_ns;
    while (count < frame_max && find(played)) {
        if (played->record.size > 1u << port->pool->slot_shift)
            return count > 0 ? (int)count : refuse_size(&played->record, port->pool);
        struct numi_frame *frame = numi_pool_take(port->pool);
        if (frame == NULL)
            break;
        fill(port->pool, frame, &played->record);
        frames[count++] = frame->index;
        played->has_record = false;
        if (frame->flags & NUMI_FRAME_NOTICE)
            continue;
        port->counts.bytes += frame->wire_size;
        port->counts.ledger.frames[NUMI_FRAMES_RECEIVED]++;
        port->counts.handed_out++;
    }
    return (int)count;
}

static int64_t next_ns(struct numi_port *port) {
    (void)port;
    return INT64_MIN;
}

static void close_played(struct numi_port *port) {
    numi_tape_reader_close(((struct played *)port)->reader);
    free(port);
}

int numi_port_open_tape(struct numi_port **out, struct numi_tape_player *player, uint32_t number,
                        uint32_t line, struct numi_pool *pool) {
    static const struct numi_port_ops ops = {poll, next_ns, close_played};
    struct played *played = calloc(1, sizeof *played);
    *out = NULL;
    if (played == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a port");
    played->port = (struct numi_port){
        .ops = &ops, .pool = pool, .line = (uint8_t)line, .number = (uint16_t)number};
    played->player = player;
    int code = numi_tape_reader_open(&played->reader, player->path);
    if (code != NUMI_OK) {
        free(played);
        return code;
    }
    *out = &played->port;
    return NUMI_OK;
}
