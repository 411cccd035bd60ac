#include "port/datagram.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "port/address.h"

enum { SKIPPED_MAX = 8 };

struct numi_datagram {
    int fd;
    struct numi_datagram_counts counts;
};

static int connect_to(struct numi_datagram *datagram, const char *text) {
    struct numi_address address;
    int code = numi_address_parse(&address, text);
    if (code != NUMI_OK)
        return code;
    datagram->fd = numi_address_socket(&address, SOCK_DGRAM);
    if (datagram->fd < 0)
        return datagram->fd;
    if (connect(datagram->fd, (struct sockaddr *)&address.storage, address.size) != 0)
        return numi_error_set_errno(errno, "datagrams to %s", text);
    return NUMI_OK;
}

int numi_datagram_open(struct numi_datagram **out, const char *address) {
    *out = NULL;
    struct numi_datagram *datagram = calloc(1, sizeof *datagram);
    if (datagram == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "datagrams to %s", address);
    datagram->fd = -1;
    int code = connect_to(datagram, address);
    if (code != NUMI_OK) {
        numi_datagram_close(datagram);
        return code;
    }
    *out = datagram;
    return NUMI_OK;
}

void numi_datagram_close(struct numi_datagram *datagram) {
    if (datagram == NULL)
        return;
    if (datagram->fd >= 0)
        close(datagram->fd);
    free(datagram);
}

static bool would_block(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS;
}

static void count_error(struct numi_datagram *datagram, int error) {
    if (error == ECONNREFUSED)
        datagram->counts.refused++;
    else
        datagram->counts.errors++;
    datagram->counts.last_error = error;
}

int numi_datagram_send(struct numi_datagram *datagram, const uint8_t *bytes, uint64_t size) {
    /* A refusal belongs to a datagram before: this one has not been tried yet. */
    for (int attempt = 0; attempt < 2; attempt++) {
        if (send(datagram->fd, bytes, size, MSG_NOSIGNAL) >= 0) {
            datagram->counts.sent++;
            return 1;
        }
        int error = errno;
        if (would_block(error)) {
            datagram->counts.blocked++;
            return 0;
        }
        count_error(datagram, error);
        if (error != ECONNREFUSED)
            return 0;
    }
    return 0;
}

int numi_datagram_receive(struct numi_datagram *datagram, uint8_t *bytes, uint32_t room) {
    for (int skipped = 0; skipped < SKIPPED_MAX; skipped++) {
        ssize_t size = recv(datagram->fd, bytes, room, MSG_TRUNC);
        if (size < 0 && would_block(errno))
            return 0;
        if (size < 0) {
            count_error(datagram, errno);
        } else if ((uint64_t)size > room) {
            datagram->counts.truncated++;
        } else if (size > 0) {
            datagram->counts.received++;
            return (int)size;
        }
    }
    return 0;
}

int numi_datagram_fd(const struct numi_datagram *datagram) {
    return datagram->fd;
}

const struct numi_datagram_counts *numi_datagram_counts(const struct numi_datagram *datagram) {
    return &datagram->counts;
}
