#include "feed/carry.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "port/address.h"

enum { ADDRESS_SIZE = 64 };

static int check_count(uint32_t count) {
    if (count >= 1 && count <= NUMI_CARRY_SERVER_MAX)
        return NUMI_OK;
    return numi_error_set(NUMI_ERR_ARGUMENT, "%u servers: allowed 1 to %d", count,
                          NUMI_CARRY_SERVER_MAX);
}

/* ---- Requests. */

struct numi_request_carry {
    uint32_t count;
    uint32_t turn;
    struct numi_datagram *servers[NUMI_CARRY_SERVER_MAX];
    uint8_t payload[NUMI_CARRY_ROOM];
};

int numi_request_carry_open(struct numi_request_carry **out, char *const *servers, uint32_t count) {
    *out = NULL;
    int code = check_count(count);
    if (code != NUMI_OK)
        return code;
    struct numi_request_carry *carry = calloc(1, sizeof *carry);
    if (carry == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a carrier of requests");
    for (; code == NUMI_OK && carry->count < count; carry->count += code == NUMI_OK)
        code = numi_datagram_open(&carry->servers[carry->count], servers[carry->count]);
    if (code != NUMI_OK) {
        numi_request_carry_close(carry);
        return code;
    }
    *out = carry;
    return NUMI_OK;
}

void numi_request_carry_close(struct numi_request_carry *carry) {
    if (carry == NULL)
        return;
    for (uint32_t i = 0; i < carry->count; i++)
        numi_datagram_close(carry->servers[i]);
    free(carry);
}

int numi_request_carry_send(struct numi_request_carry *carry, const struct numi_request *requests,
                            uint32_t count) {
    int sent = 0;
    for (uint32_t i = 0; i < count; i++)
        if (requests[i].server < carry->count)
            sent += numi_datagram_send(carry->servers[requests[i].server], requests[i].bytes,
                                       sizeof requests[i].bytes);
    return sent;
}

int numi_request_carry_receive(struct numi_request_carry *carry, const uint8_t **payload,
                               uint32_t *server) {
    *payload = carry->payload;
    for (uint32_t i = 0; i < carry->count; i++) {
        *server = carry->turn;
        carry->turn = (carry->turn + 1) % carry->count;
        int size =
            numi_datagram_receive(carry->servers[*server], carry->payload, sizeof carry->payload);
        if (size > 0)
            return size;
    }
    return 0;
}

const struct numi_datagram_counts *numi_request_carry_counts(const struct numi_request_carry *carry,
                                                             uint32_t server) {
    return server < carry->count ? numi_datagram_counts(carry->servers[server]) : NULL;
}

/* ---- A session. */

struct numi_soup_carry {
    struct numi_connection *connection;
    int number;   /* of the connection that there is, or was lost */
    bool is_up;   /* the client knows */
    bool is_gone; /* the client knows */
    uint32_t count;
    uint32_t from, to; /* what the client had no room for */
    char servers[NUMI_CARRY_SERVER_MAX][ADDRESS_SIZE];
    uint8_t bytes[NUMI_CARRY_ROOM];
};

static int take_address(struct numi_soup_carry *carry, const char *text) {
    struct numi_address address;
    int code = numi_address_parse(&address, text);
    if (code == NUMI_OK)
        memcpy(carry->servers[carry->count++], text, strlen(text) + 1);
    return code;
}

int numi_soup_carry_open(struct numi_soup_carry **out, char *const *servers, uint32_t count) {
    *out = NULL;
    int code = check_count(count);
    if (code != NUMI_OK)
        return code;
    struct numi_soup_carry *carry = calloc(1, sizeof *carry);
    if (carry == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a carrier of a session");
    code = numi_connection_open(&carry->connection);
    for (uint32_t i = 0; code == NUMI_OK && i < count; i++)
        code = take_address(carry, servers[i]);
    if (code != NUMI_OK) {
        numi_soup_carry_close(carry);
        return code;
    }
    *out = carry;
    return NUMI_OK;
}

void numi_soup_carry_close(struct numi_soup_carry *carry) {
    if (carry == NULL)
        return;
    numi_connection_close(carry->connection);
    free(carry);
}

/* The connection that there is to be is another one. */
static void change(struct numi_soup_carry *carry, const struct numi_soup_client *client,
                   int number) {
    carry->number = number;
    carry->is_up = carry->is_gone = false;
    carry->from = carry->to = 0;
    numi_connection_shut(carry->connection);
    /* A socket that cannot be had is a connection that is lost. */
    if (number != 0)
        (void)numi_connection_connect(carry->connection,
                                      carry->servers[numi_soup_client_server(client)]);
}

static bool send_outgoing(struct numi_soup_carry *carry, struct numi_soup_client *client) {
    uint64_t size;
    const uint8_t *bytes = numi_soup_client_outgoing(client, &size);
    int sent = numi_connection_send(carry->connection, bytes, (uint32_t)size);
    numi_soup_client_sent(client, (uint64_t)sent);
    return sent > 0;
}

/* Bytes that the client does not want any more are nobody's. */
static bool pass_bytes(struct numi_soup_carry *carry, struct numi_soup_client *client,
                       int64_t now_ns) {
    if (carry->from == carry->to) {
        carry->from = 0;
        carry->to =
            (uint32_t)numi_connection_receive(carry->connection, carry->bytes, sizeof carry->bytes);
    }
    bool has_bytes = carry->from < carry->to;
    carry->from += numi_soup_client_receive(client, now_ns, carry->bytes + carry->from,
                                            carry->to - carry->from);
    uint32_t state = numi_soup_client_state(client);
    if (state != NUMI_SOUP_LIVE && state != NUMI_SOUP_LOGGING_IN)
        carry->from = carry->to;
    return has_bytes;
}

int numi_soup_carry_step(struct numi_soup_carry *carry, struct numi_soup_client *client, int number,
                         int64_t now_ns) {
    if (numi_soup_client_server(client) >= carry->count)
        return numi_error_set(NUMI_ERR_ARGUMENT, "server %u of %u: the client is to have as many",
                              numi_soup_client_server(client), carry->count);
    bool has_changed = number != carry->number;
    if (has_changed)
        change(carry, client, number);
    if (number == 0)
        return has_changed;
    int state = numi_connection_step(carry->connection);
    if (state == NUMI_CONNECTION_OPEN && !carry->is_up) {
        carry->is_up = has_changed = true;
        numi_soup_client_connected(client, now_ns);
    }
    bool has_moved = send_outgoing(carry, client) || has_changed;
    if (pass_bytes(carry, client, now_ns))
        return 1;
    /* All that came before it was lost has been handed out. */
    state = numi_connection_step(carry->connection);
    if (!carry->is_gone && (state == NUMI_CONNECTION_LOST || state == NUMI_CONNECTION_NONE)) {
        carry->is_gone = has_moved = true;
        numi_soup_client_lost(client, now_ns);
    }
    return has_moved;
}

const struct numi_connection_counts *numi_soup_carry_counts(const struct numi_soup_carry *carry) {
    return numi_connection_counts(carry->connection);
}
