#include "make/lines.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "make/random.h"
#include "wire/bytes.h"
#include "wire/mold.h"
#include "wire/packet.h"

enum {
    IP_AND_UDP = 28,
    FRAME_ROOM = 14 + NUMI_LINES_MTU_MAX,
    HEAD = NUMI_PACKET_UDP4_HEADER_SIZE,
    MESSAGES_MAX = NUMI_MOLD_END_OF_SESSION - 1,
    CHUNK_SIZE = 1 << 16,
    ENDS = 3,
    END_GAP_NS = 1000000,
    SOURCE_PORT = 31000,
    NEVER = -1,
};

/* A packet that comes later than its turn. */
struct held {
    int32_t turns; /* packets of its line until then */
    uint32_t size;
    uint8_t *frame;
};

/* Packets with their stamps, waiting for the other line's. */
struct queue {
    uint8_t *bytes;
    uint64_t head, tail, size;
};

struct waiting {
    int64_t stamp;
    uint64_t size;
};

struct line {
    struct numi_capture_writer *writer;
    uint32_t interface;
    uint32_t latency_ns;
    uint64_t skew_ns;
    struct numi_random losses, delays;
    uint64_t now_ns;            /* nothing is sent before */
    uint64_t sent_ns;           /* last */
    uint64_t first_ns, last_ns; /* messages of the packet that fills */
    uint64_t sequence;          /* its first message, or the next to come */
    uint32_t count, size;       /* its messages, its payload */
    uint64_t lost_end;          /* no message from here on is lost yet */
    int64_t stamp;              /* last */
    uint16_t identification;
    struct held held[NUMI_LINES_DISPLACEMENT_MAX];
    struct queue queue;
    struct numi_lines_counts counts;
    uint8_t frame[FRAME_ROOM];
};

struct numi_lines {
    struct numi_lines_options options;
    struct numi_day *day;
    bool merged, over;
    uint8_t *held_frames;
    struct line lines[NUMI_LINES_COUNT];
    uint8_t chunk[CHUNK_SIZE];
};

/* ---- Open. */

void numi_lines_defaults(struct numi_lines_options *options) {
    *options = (struct numi_lines_options){
        .heartbeat_ns = 10000000000u,
        .latency_ns = 20000,
        .jitter_ns = 1000,
        .packet_ns = 20000,
        .mtu = 1500,
        .displacement = 4,
        .group = {0xEFC00101, 0xEFC00201},
        .port = {26400, 26400},
    };
    memcpy(options->session, "NUMI000001", sizeof options->session);
}

/* Two cuts that leave a message on neither line: a packet's messages may be packet_ns older than
 * the packet, and stand in another one on the other line. */
static bool cut_both(const struct numi_lines_options *options) {
    uint64_t margin = 2ull * options->packet_ns + 1;
    for (uint32_t i = 0; i < options->cut_count; i++)
        for (uint32_t j = 0; j < i; j++) {
            const struct numi_lines_cut *a = &options->cuts[i], *b = &options->cuts[j];
            if (a->line != b->line && a->from_ns < b->to_ns + margin &&
                b->from_ns < a->to_ns + margin)
                return true;
        }
    return false;
}

int numi_lines_check(const struct numi_lines_options *options) {
    if (options->mtu < NUMI_LINES_MTU_MIN || options->mtu > NUMI_LINES_MTU_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "an MTU of %u: allowed %d to %d", options->mtu,
                              NUMI_LINES_MTU_MIN, NUMI_LINES_MTU_MAX);
    for (int i = 0; i < NUMI_LINES_COUNT; i++)
        if (options->loss[i] > NUMI_LINES_SURE || options->duplicate[i] > NUMI_LINES_SURE ||
            options->reorder[i] > NUMI_LINES_SURE)
            return numi_error_set(NUMI_ERR_ARGUMENT, "a chance above one on line %c", 'A' + i);
    if (options->displacement < 1 || options->displacement > NUMI_LINES_DISPLACEMENT_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "a displacement by %u packets: allowed 1 to %d",
                              options->displacement, NUMI_LINES_DISPLACEMENT_MAX);
    if (options->cut_count > NUMI_LINES_CUT_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "%u cuts: allowed at most %d", options->cut_count,
                              NUMI_LINES_CUT_MAX);
    for (uint32_t i = 0; i < options->cut_count; i++)
        if (options->cuts[i].line >= NUMI_LINES_COUNT ||
            options->cuts[i].to_ns < options->cuts[i].from_ns)
            return numi_error_set(NUMI_ERR_ARGUMENT, "cut %u: no such line or no such time", i);
    if (!options->both_loss && cut_both(options))
        return numi_error_set(NUMI_ERR_ARGUMENT, "cuts of both lines at the same time lose "
                                                 "messages: set both_loss if that is wanted");
    return NUMI_OK;
}

static void open_line(struct numi_lines *lines, int number, uint64_t skew_ns) {
    const struct numi_lines_options *options = &lines->options;
    struct line *line = &lines->lines[number];
    line->latency_ns = options->latency_ns;
    line->skew_ns = skew_ns;
    line->sequence = 1;
    line->lost_end = 1;
    line->size = NUMI_MOLD_HEADER_SIZE;
    numi_random_open(&line->losses, options->seed, number == 0 ? "losses of A" : "losses of B");
    numi_random_open(&line->delays, options->seed, number == 0 ? "delays of A" : "delays of B");
    for (int i = 0; i < NUMI_LINES_DISPLACEMENT_MAX; i++) {
        int place = number * NUMI_LINES_DISPLACEMENT_MAX + i;
        line->held[i] = (struct held){NEVER, 0, lines->held_frames + place * FRAME_ROOM};
    }
}

int numi_lines_open(struct numi_lines **out, const struct numi_lines_options *options,
                    struct numi_day *day, struct numi_capture_writer *writer_a,
                    uint32_t interface_a, struct numi_capture_writer *writer_b,
                    uint32_t interface_b) {
    int error = numi_lines_check(options);
    if (error != 0)
        return error;
    struct numi_lines *lines = calloc(1, sizeof *lines);
    uint8_t *held = calloc(NUMI_LINES_COUNT * NUMI_LINES_DISPLACEMENT_MAX, FRAME_ROOM);
    if (lines == NULL || held == NULL) {
        free(lines);
        free(held);
        return numi_error_set(NUMI_ERR_NO_MEMORY, "two lines of %d bytes", FRAME_ROOM);
    }
    lines->options = *options;
    lines->day = day;
    lines->held_frames = held;
    lines->merged = writer_a == writer_b;
    int64_t skew_ns = options->skew_ns;
    open_line(lines, 0, skew_ns < 0 ? 0 - (uint64_t)skew_ns : 0);
    open_line(lines, 1, skew_ns > 0 ? (uint64_t)skew_ns : 0);
    lines->lines[0].writer = writer_a;
    lines->lines[0].interface = interface_a;
    lines->lines[1].writer = writer_b;
    lines->lines[1].interface = interface_b;
    *out = lines;
    return NUMI_OK;
}

void numi_lines_close(struct numi_lines *lines) {
    if (lines == NULL)
        return;
    for (int i = 0; i < NUMI_LINES_COUNT; i++)
        free(lines->lines[i].queue.bytes);
    free(lines->held_frames);
    free(lines);
}

int numi_lines_count(const struct numi_lines *lines, uint32_t line,
                     struct numi_lines_counts *counts) {
    if (line >= NUMI_LINES_COUNT)
        return numi_error_set(NUMI_ERR_ARGUMENT, "line %u: allowed 0 or 1", line);
    *counts = lines->lines[line].counts;
    return NUMI_OK;
}

/* ---- Into one file: both lines by their stamps. */

static int queue_put(struct queue *queue, int64_t stamp, const uint8_t *frame, uint32_t size) {
    struct waiting waiting = {stamp, size};
    uint64_t room = sizeof waiting + size;
    if (queue->tail + room > queue->size && queue->head > queue->size / 2) {
        memmove(queue->bytes, queue->bytes + queue->head, queue->tail - queue->head);
        queue->tail -= queue->head;
        queue->head = 0;
    }
    if (queue->tail + room > queue->size) {
        uint64_t wanted = 2 * queue->size + CHUNK_SIZE;
        uint8_t *bytes = realloc(queue->bytes, wanted);
        if (bytes == NULL)
            return numi_error_set(NUMI_ERR_NO_MEMORY, "%llu bytes of packets that wait",
                                  (unsigned long long)wanted);
        queue->bytes = bytes;
        queue->size = wanted;
    }
    memcpy(queue->bytes + queue->tail, &waiting, sizeof waiting);
    memcpy(queue->bytes + queue->tail + sizeof waiting, frame, size);
    queue->tail += room;
    return NUMI_OK;
}

/* The stamp of the first that waits; where none does, a time before which none will come. */
static int64_t queue_time(const struct numi_lines *lines, const struct line *line) {
    if (line->queue.head < line->queue.tail) {
        struct waiting waiting;
        memcpy(&waiting, line->queue.bytes + line->queue.head, sizeof waiting);
        return waiting.stamp;
    }
    if (lines->over)
        return INT64_MAX;
    return lines->options.midnight_ns + (int64_t)(line->now_ns + line->latency_ns + line->skew_ns);
}

static int queue_drain(struct numi_lines *lines) {
    for (;;) {
        int64_t a = queue_time(lines, &lines->lines[0]), b = queue_time(lines, &lines->lines[1]);
        struct line *line = &lines->lines[a <= b ? 0 : 1];
        struct queue *queue = &line->queue;
        if (queue->head == queue->tail)
            return NUMI_OK;
        struct waiting waiting;
        memcpy(&waiting, queue->bytes + queue->head, sizeof waiting);
        uint32_t size = (uint32_t)waiting.size;
        int error =
            numi_capture_writer_packet(line->writer, line->interface, waiting.stamp,
                                       queue->bytes + queue->head + sizeof waiting, size, size);
        queue->head += sizeof waiting + size;
        if (error < 0)
            return error;
    }
}

/* ---- What a packet meets on its way. */

static int write_frame(struct numi_lines *lines, struct line *line, const uint8_t *frame,
                       uint32_t size) {
    line->counts.packets++;
    line->counts.bytes += size;
    if (lines->merged)
        return queue_put(&line->queue, line->stamp, frame, size);
    return numi_capture_writer_packet(line->writer, line->interface, line->stamp, frame, size,
                                      size);
}

static bool hold(struct line *line, uint32_t size, uint32_t turns) {
    for (int i = 0; i < NUMI_LINES_DISPLACEMENT_MAX; i++) {
        struct held *held = &line->held[i];
        if (held->turns != NEVER)
            continue;
        held->turns = (int32_t)turns;
        held->size = size;
        memcpy(held->frame, line->frame, size);
        return true;
    }
    return false;
}

/* A packet has gone by: whose turn it is now follows. */
static int release(struct numi_lines *lines, struct line *line, bool all) {
    for (int i = 0; i < NUMI_LINES_DISPLACEMENT_MAX; i++) {
        struct held *held = &line->held[i];
        if (held->turns == NEVER || (--held->turns > 0 && !all))
            continue;
        held->turns = NEVER;
        line->stamp += 100 + numi_random_below(&line->delays, 400);
        int error = write_frame(lines, line, held->frame, held->size);
        if (error < 0)
            return error;
    }
    return NUMI_OK;
}

static int arrive(struct numi_lines *lines, struct line *line, uint64_t sent_ns, uint32_t size) {
    const struct numi_lines_options *options = &lines->options;
    int number = line == &lines->lines[1];
    uint64_t jitter = numi_random_halvings(&line->delays) * 45426 >> 16; /* ln 2: a mean of one */
    jitter = (jitter < 16 << 16 ? jitter : 16 << 16) * options->jitter_ns >> 16;
    int64_t stamp =
        options->midnight_ns + (int64_t)(sent_ns + line->latency_ns + line->skew_ns + jitter);
    bool late = numi_random_chance(&line->losses, options->reorder[number], NUMI_LINES_SURE);
    bool doubled = numi_random_chance(&line->losses, options->duplicate[number], NUMI_LINES_SURE);
    uint32_t turns = 1 + numi_random_below(&line->losses, options->displacement);
    if (late && hold(line, size, turns)) {
        line->counts.reordered++;
        return NUMI_OK;
    }
    line->stamp = stamp > line->stamp ? stamp : line->stamp;
    int error = write_frame(lines, line, line->frame, size);
    if (error == 0)
        error = release(lines, line, false);
    if (error != 0 || !doubled)
        return error;
    line->counts.duplicates++;
    if (turns > 1 && hold(line, size, turns - 1))
        return NUMI_OK;
    return write_frame(lines, line, line->frame, size);
}

static bool is_cut(const struct numi_lines *lines, uint32_t number, uint64_t from_ns,
                   uint64_t to_ns) {
    for (uint32_t i = 0; i < lines->options.cut_count; i++) {
        const struct numi_lines_cut *cut = &lines->options.cuts[i];
        if (cut->line == number && from_ns < cut->to_ns && to_ns >= cut->from_ns)
            return true;
    }
    return false;
}

/* Whether the other line has these messages, or will have them. */
static bool may_lose(const struct numi_lines *lines, uint32_t number) {
    if (lines->options.both_loss)
        return true;
    const struct line *line = &lines->lines[number];
    uint64_t to_ns = line->last_ns + lines->options.packet_ns; /* there they are sent by then */
    return lines->lines[number ^ 1].lost_end <= line->sequence &&
           !is_cut(lines, number ^ 1, line->first_ns, to_ns);
}

/* Writes the headers before the payload of the line's frame and sends it, or does not. */
static int send_frame(struct numi_lines *lines, uint32_t number, uint64_t sent_ns, uint16_t count,
                      bool lossy) {
    const struct numi_lines_options *options = &lines->options;
    struct line *line = &lines->lines[number];
    line->sent_ns = sent_ns;
    numi_mold_write_header(line->frame + HEAD, options->session, line->sequence, count);
    uint32_t size = numi_packet_build_udp4(line->frame, line->size, 0x0A000001 + (number + 1) * 256,
                                           options->group[number], (uint16_t)(SOURCE_PORT + number),
                                           options->port[number], line->identification++);
    bool lost = numi_random_chance(&line->losses, options->loss[number], NUMI_LINES_SURE) && lossy;
    bool cut = is_cut(lines, number, sent_ns, sent_ns);
    if (!lost && !cut)
        return arrive(lines, line, sent_ns, size);
    *(cut ? &line->counts.cut : &line->counts.lost) += 1;
    *(cut ? &line->counts.cut_messages : &line->counts.lost_messages) += line->count;
    if (line->count > 0)
        line->lost_end = line->sequence + line->count;
    return NUMI_OK;
}

/* ---- Packets. */

static int end_packet(struct numi_lines *lines, uint32_t number) {
    struct line *line = &lines->lines[number];
    if (line->count == 0)
        return NUMI_OK;
    int error =
        send_frame(lines, number, line->last_ns, (uint16_t)line->count, may_lose(lines, number));
    line->counts.messages += line->count;
    line->sequence += line->count;
    line->count = 0;
    line->size = NUMI_MOLD_HEADER_SIZE;
    return error;
}

/* Up to `until_ns`, with no packet filling. */
static int send_heartbeats(struct numi_lines *lines, uint32_t number, uint64_t until_ns) {
    struct line *line = &lines->lines[number];
    uint64_t gap_ns = lines->options.heartbeat_ns;
    int error = NUMI_OK;
    while (error == 0 && gap_ns != 0 && line->sent_ns + gap_ns < until_ns) {
        line->counts.heartbeats++;
        error = send_frame(lines, number, line->sent_ns + gap_ns, 0, true);
    }
    return error;
}

static int add_message(struct numi_lines *lines, uint32_t number, const uint8_t *block,
                       uint32_t size) {
    const struct numi_lines_options *options = &lines->options;
    struct line *line = &lines->lines[number];
    uint64_t now_ns = numi_be48(block + 2 + 5);
    uint32_t most = options->message_max[number] - 1; /* 0: no limit of its own */
    int error = NUMI_OK;
    if (line->sequence == 1 && line->count == 0)
        line->sent_ns = now_ns;
    if (line->count > (most < MESSAGES_MAX ? most : MESSAGES_MAX - 1) ||
        line->size + size > options->mtu - IP_AND_UDP ||
        now_ns > line->first_ns + options->packet_ns)
        error = end_packet(lines, number);
    if (error == 0 && line->count == 0)
        error = send_heartbeats(lines, number, now_ns);
    if (line->count == 0)
        line->first_ns = now_ns;
    memcpy(line->frame + HEAD + line->size, block, size);
    line->size += size;
    line->count++;
    line->last_ns = line->now_ns = now_ns;
    return error;
}

/* What is left, the session's end, and those that still wait for their turn. */
static int finish(struct numi_lines *lines) {
    int error = NUMI_OK;
    for (uint32_t number = 0; number < NUMI_LINES_COUNT && error == 0; number++) {
        struct line *line = &lines->lines[number];
        error = end_packet(lines, number);
        if (error == 0)
            error = release(lines, line, true);
        for (int i = 0; i < ENDS && error == 0; i++)
            error = send_frame(lines, number, line->sent_ns + END_GAP_NS, NUMI_MOLD_END_OF_SESSION,
                               false);
        if (error == 0)
            error = release(lines, line, true);
    }
    lines->over = true;
    return error != 0 || !lines->merged ? error : queue_drain(lines);
}

int64_t numi_lines_step(struct numi_lines *lines) {
    if (lines->over)
        return 0;
    int64_t size = numi_day_next(lines->day, lines->chunk, sizeof lines->chunk), count = 0;
    if (size <= 0)
        return size < 0 ? size : finish(lines);
    const uint8_t *at = lines->chunk;
    for (uint32_t block; at < lines->chunk + size; at += block, count++) {
        block = 2u + numi_be16(at);
        for (uint32_t number = 0; number < NUMI_LINES_COUNT; number++) {
            int error = add_message(lines, number, at, block);
            if (error < 0)
                return error;
        }
    }
    int error = lines->merged ? queue_drain(lines) : NUMI_OK;
    return error < 0 ? error : count;
}
