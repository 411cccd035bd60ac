/* Bytes are a file as it stands: a capture, something compressed, or neither.
 *
 * Whatever they are, reading ends: each packet lies behind the one before, its bytes can be
 * touched, what is handed out is what is counted, and the last answer, end or NUMI_ERR_CORRUPT with
 * an offset, stays when it is asked for again. A bare file is then read once more by peeking and
 * taking, and must hold the same. What expands to more than EXPANDED_MAX is left there. */
#include "fuzz_file.h"

#include "base/error.h"
#include "disk/capture.h"
#include "wire/bytes.h"

static const char *path;

static void judge_packet(const struct numi_capture *capture,
                         const struct numi_capture_packet *packet) {
    struct numi_capture_interface interface;
    bool bare = numi_capture_format(capture) == NUMI_CAPTURE_ITCH;
    uint32_t size_max = bare ? NUMI_CAPTURE_RUN_SIZE_MAX : NUMI_CAPTURE_PACKET_SIZE_MAX;
    MUST(packet->size <= size_max);
    MUST(packet->has_time || packet->ns == 0);
    MUST(bare == (packet->message_count > 0));
    MUST(numi_capture_interface(capture, packet->interface_index, &interface) == NUMI_OK);
    MUST(interface.link == packet->link);
    MUST(memchr(interface.name, 0, sizeof interface.name) != NULL);
    MUST(memchr(interface.description, 0, sizeof interface.description) != NULL);
    touch(packet->data, packet->size);
}

static uint64_t touch_comments(const struct numi_capture *capture) {
    uint32_t count = 0, size;
    const uint8_t *words;
    for (; (words = numi_capture_comment(capture, count, &size)) != NULL; count++)
        touch(words, size);
    return count;
}

static void judge_end(struct numi_capture *capture, int code) {
    struct numi_capture_packet packet;
    const struct numi_capture_counts *counts = numi_capture_counts(capture);
    MUST(code == 0 || code == NUMI_ERR_CORRUPT);
    MUST(code == 0 || strstr(numi_error_detail(), "(offset ") != NULL);
    struct numi_capture_counts before = *counts;
    MUST(numi_capture_next(capture, &packet) == code);
    MUST(memcmp(&before, counts, sizeof before) == 0);
    MUST(counts->truncated <= 1);
    MUST(!counts->truncated ||
         counts->truncated_offset == numi_stream_offset(numi_capture_stream(capture)));
}

/* The code that reading ended with; 1 where it was given up. */
static int read_all(struct numi_capture *capture) {
    const struct numi_capture_counts *counts = numi_capture_counts(capture);
    struct numi_capture_packet packet;
    uint64_t packets = 0, bytes = 0, comments = 0, end = 0;
    int code;
    while ((code = numi_capture_next(capture, &packet)) == 1) {
        MUST(packet.offset >= end);
        end = packet.offset + packet.size;
        packets++;
        bytes += packet.size;
        comments += touch_comments(capture);
        judge_packet(capture, &packet);
        if (end > EXPANDED_MAX)
            return 1;
    }
    comments += touch_comments(capture);
    MUST(counts->packets == packets && counts->bytes == bytes);
    MUST(counts->comments == comments + counts->comments_lost);
    judge_end(capture, code);
    return code;
}

static int take_all(struct numi_capture *capture) {
    const uint8_t *bytes;
    int64_t got;
    while ((got = numi_capture_peek(capture, &bytes)) > 0) {
        uint64_t size = 2 + (uint64_t)numi_be16(bytes);
        MUST(size <= (uint64_t)got);
        touch(bytes, size);
        numi_capture_take(capture, size, 1, size == 2);
    }
    return (int)got;
}

static void read_by_taking(const struct numi_capture_counts *wanted, int wanted_code) {
    struct numi_capture *capture;
    MUST(numi_capture_open(&capture, path) == NUMI_OK);
    MUST(take_all(capture) == wanted_code);
    struct numi_capture_counts got = *numi_capture_counts(capture);
    got.packets = wanted->packets;
    MUST(memcmp(&got, wanted, sizeof got) == 0);
    numi_capture_close(capture);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct numi_capture *capture;
    path = file_of(data, size);
    int code = numi_capture_open(&capture, path);
    MUST((code == NUMI_OK) == (capture != NULL));
    MUST(code == NUMI_OK || code == NUMI_ERR_CORRUPT);
    MUST(code == NUMI_OK || strstr(numi_error_detail(), "(offset ") != NULL);
    if (code < 0)
        return 0;
    code = read_all(capture);
    struct numi_capture_counts counts = *numi_capture_counts(capture);
    bool bare = numi_capture_format(capture) == NUMI_CAPTURE_ITCH;
    numi_capture_close(capture);
    if (bare && code <= 0)
        read_by_taking(&counts, code);
    return 0;
}
