/* Bytes are a server's stream, and what happens while it comes.
 *
 *   servers | step: verb, size | bytes ... | step | ...
 *
 * Verbs: connect, lose, let time pass, log out, begin anew, and, by far the most, bytes. Whatever
 * comes, payloads are whole MoldUDP64 packets whose sequences go on, and the client ends nowhere
 * that time does not lead out of. */
#include "fuzz.h"

#include "base/error.h"
#include "feed/soup_client.h"

static struct numi_soup_client *client;
static int64_t now_ns;
static uint64_t messages;

static void take_payloads(void) {
    const uint8_t *payload;
    uint64_t size;
    struct numi_mold_header header;
    while (numi_soup_client_next(client, now_ns, &payload, &size)) {
        uint8_t *copy = exactly(payload, size);
        MUST(numi_mold_parse(copy, size, &header) == NUMI_MOLD_OK && header.message_count > 0);
        MUST(header.sequence + header.message_count == numi_soup_client_sequence(client));
        MUST(memcmp(header.session, numi_soup_client_session(client), 10) == 0);
        messages += header.message_count;
        free(copy);
    }
    MUST(payload == NULL && size == 0);
}

static void receive(struct input *input, size_t size) {
    size = size < input->left ? size : input->left;
    uint8_t *bytes = exactly(input->at, size);
    input->at += size;
    input->left -= size;
    for (uint64_t at = 0, taken = 1; at < size && taken > 0; at += taken) {
        taken = numi_soup_client_receive(client, now_ns, bytes + at, size - at);
        take_payloads();
    }
    free(bytes);
}

static void step(struct input *input) {
    uint8_t verb = input_byte(input);
    size_t size = input_byte(input);
    uint64_t out_size;
    switch (verb) {
    case 0:
        numi_soup_client_connected(client, now_ns);
        break;
    case 1:
        numi_soup_client_lost(client, now_ns);
        break;
    case 2:
        now_ns += (int64_t)size * 100000000;
        break;
    case 3:
        numi_soup_client_logout(client, now_ns);
        break;
    case 4:
        numi_soup_client_restart(client, now_ns, size);
        break;
    default:
        receive(input, size * (verb % 16));
    }
    int wanted = numi_soup_client_step(client, now_ns);
    uint32_t state = numi_soup_client_state(client);
    const uint8_t *out = numi_soup_client_outgoing(client, &out_size);
    touch(out, out_size);
    numi_soup_client_sent(client, size);
    MUST(wanted >= 0 && state < NUMI_SOUP_STATE_COUNT);
    MUST(wanted == 0 || (state != NUMI_SOUP_WAITING && state != NUMI_SOUP_FAILED));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    struct numi_soup_client_options options;
    numi_soup_client_defaults(&options);
    options.servers = 1 + input_byte(&input) % 3;
    now_ns = 0;
    messages = 0;
    MUST(numi_soup_client_open(&client, &options) == NUMI_OK);
    MUST(numi_soup_client_step(client, now_ns) == 1);
    numi_soup_client_connected(client, now_ns);
    while (input.left > 0)
        step(&input);
    MUST(numi_soup_client_counts(client)->messages == messages);
    numi_soup_client_close(client);
    return 0;
}
