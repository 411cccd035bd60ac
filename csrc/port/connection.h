/* One TCP connection at a time, to one address after another. Never blocks.
 *
 *   NONE --connect--> CONNECTING --step--> OPEN --step, send, receive--> LOST --connect, shut-->
 * ...
 *
 * What the network does is no error of a call: the connection is LOST, and the counts say how. */
#ifndef NUMI_PORT_CONNECTION_H
#define NUMI_PORT_CONNECTION_H

#include "base/types.h"

enum numi_connection_state {
    NUMI_CONNECTION_NONE,
    NUMI_CONNECTION_CONNECTING,
    NUMI_CONNECTION_OPEN,
    NUMI_CONNECTION_LOST,
};

struct numi_connection_counts {
    uint64_t connects; /* begun */
    uint64_t opened;
    uint64_t refused; /* nobody listens */
    uint64_t closed;  /* by the peer, in order */
    uint64_t reset;   /* by the peer, not in order */
    uint64_t errors;  /* of another kind */
    uint64_t bytes_sent;
    uint64_t bytes_received;
    int64_t last_error; /* the errno of the last one, refused and reset included */
};

struct numi_connection;

/* Without a socket yet. NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_connection_open(struct numi_connection **out);
NUMI_API void numi_connection_close(struct numi_connection *connection);

/* Begins to connect to `address` (port/address.h); what was before is shut. Returns the state,
 * CONNECTING or LOST. NUMI_ERR_ARGUMENT, NUMI_ERR_SYSTEM, NUMI_ERR_PERMISSION. */
NUMI_API int numi_connection_connect(struct numi_connection *connection, const char *address);

/* No connection from now on; the state is NONE. */
NUMI_API void numi_connection_shut(struct numi_connection *connection);

/* Looks whether it is open by now; returns the state. */
NUMI_API int numi_connection_step(struct numi_connection *connection);

/* How many bytes were taken; 0 where none can be at the moment, or none ever. */
NUMI_API int numi_connection_send(struct numi_connection *connection, const uint8_t *bytes,
                                  uint32_t size);

/* How many bytes came; 0 where none have at the moment, or none ever will. */
NUMI_API int numi_connection_receive(struct numi_connection *connection, uint8_t *bytes,
                                     uint32_t room);

/* For poll(2); -1 without a socket. */
NUMI_API int numi_connection_fd(const struct numi_connection *connection);

NUMI_API const struct numi_connection_counts *
numi_connection_counts(const struct numi_connection *connection);

#endif
