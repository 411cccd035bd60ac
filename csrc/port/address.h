/* Where a socket goes: "10.1.2.3:26400" or "[fe80::1]:26400". Numbers only, since a name would have
 * to be asked for, and that may take as long as it likes. */
#ifndef NUMI_PORT_ADDRESS_H
#define NUMI_PORT_ADDRESS_H

#include <sys/socket.h>

#include "base/types.h"

struct numi_address {
    struct sockaddr_storage storage;
    socklen_t size;
};

/* NUMI_ERR_ARGUMENT says what is wrong with it. */
int numi_address_parse(struct numi_address *address, const char *text);

/* A socket of that family that never blocks. NUMI_ERR_SYSTEM, NUMI_ERR_PERMISSION. */
int numi_address_socket(const struct numi_address *address, int type);

#endif
