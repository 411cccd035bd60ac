/* Datagrams to one address and back: requests out, replies in. Never blocks.
 *
 * The socket is connected: only what comes from that address is received, and that nobody listens
 * there is noticed (counted as refused, some time after a send). Nothing that the network does is
 * an error of a call: it is counted. */
#ifndef NUMI_PORT_DATAGRAM_H
#define NUMI_PORT_DATAGRAM_H

#include "base/types.h"

struct numi_datagram_counts {
    uint64_t sent;
    uint64_t received;
    uint64_t blocked;   /* sends that found the socket's buffer full: not sent */
    uint64_t refused;   /* nobody listens */
    uint64_t truncated; /* larger than the room given: dropped */
    uint64_t errors;    /* of another kind */
    int64_t last_error; /* the errno of the last one, refused included */
};

struct numi_datagram;

/* To `address` (port/address.h). NUMI_ERR_ARGUMENT, NUMI_ERR_NO_MEMORY, NUMI_ERR_SYSTEM,
 * NUMI_ERR_PERMISSION. */
NUMI_API int numi_datagram_open(struct numi_datagram **out, const char *address);
NUMI_API void numi_datagram_close(struct numi_datagram *datagram);

/* 1 where it went out, 0 where it did not: the counts say why. */
NUMI_API int numi_datagram_send(struct numi_datagram *datagram, const uint8_t *bytes,
                                uint64_t size);

/* The next datagram's size, 0 where none waits. An empty one is skipped, as is one that is larger
 * than `room`. Bounded: at most eight are skipped in a call. */
NUMI_API int numi_datagram_receive(struct numi_datagram *datagram, uint8_t *bytes, uint32_t room);

/* For poll(2). */
NUMI_API int numi_datagram_fd(const struct numi_datagram *datagram);

NUMI_API const struct numi_datagram_counts *
numi_datagram_counts(const struct numi_datagram *datagram);

#endif
