/* Carrying: what recovery says goes out over sockets, and what comes back comes in.
 *
 *   requests:   recover --step--> requests --send--> UDP ... UDP --receive--> reply, merge
 *   a session:  client --step--> number of the connection --carry--> TCP, bytes in and out --> next
 *
 * Never on the hot core: each step makes a few system calls, none of which waits. */
#ifndef NUMI_FEED_CARRY_H
#define NUMI_FEED_CARRY_H

#include "feed/recover.h"
#include "feed/soup_client.h"
#include "port/connection.h"
#include "port/datagram.h"

enum numi_carry_limit {
    NUMI_CARRY_SERVER_MAX = 16,
    NUMI_CARRY_ROOM = 65536, /* the largest datagram, and what is read at once of a stream */
};

struct numi_request_carry;

/* `servers` are addresses (port/address.h), in the order that recover counts them. What
 * numi_datagram_open says. */
NUMI_API int numi_request_carry_open(struct numi_request_carry **out, char *const *servers,
                                     uint32_t count);
NUMI_API void numi_request_carry_close(struct numi_request_carry *carry);

/* How many of them went out; the others time out as if they had been lost. */
NUMI_API int numi_request_carry_send(struct numi_request_carry *carry,
                                     const struct numi_request *requests, uint32_t count);

/* The next reply's size, its bytes, valid until the next call, and the server it came from; 0 where
 * none waits. The servers take turns. */
NUMI_API int numi_request_carry_receive(struct numi_request_carry *carry, const uint8_t **payload,
                                        uint32_t *server);

NUMI_API const struct numi_datagram_counts *
numi_request_carry_counts(const struct numi_request_carry *carry, uint32_t server);

struct numi_soup_carry;

/* `servers` as above. An address that cannot be is refused here. */
NUMI_API int numi_soup_carry_open(struct numi_soup_carry **out, char *const *servers,
                                  uint32_t count);
NUMI_API void numi_soup_carry_close(struct numi_soup_carry *carry);

/* Has the connection that there is to be: `number`, as the client's step, or its snapshot's, has
 * returned. Then next is called until it has nothing more. Returns 1 where something has happened
 * and there may be more, else 0. NUMI_ERR_ARGUMENT: the client knows more servers. */
NUMI_API int numi_soup_carry_step(struct numi_soup_carry *carry, struct numi_soup_client *client,
                                  int number, int64_t now_ns);

NUMI_API const struct numi_connection_counts *
numi_soup_carry_counts(const struct numi_soup_carry *carry);

#endif
