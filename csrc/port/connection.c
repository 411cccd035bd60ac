#include "port/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "port/address.h"

struct numi_connection {
    int fd;
    int state;
    struct numi_connection_counts counts;
};

int numi_connection_open(struct numi_connection **out) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a connection");
    (*out)->fd = -1;
    return NUMI_OK;
}

void numi_connection_shut(struct numi_connection *connection) {
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
    connection->state = NUMI_CONNECTION_NONE;
}

void numi_connection_close(struct numi_connection *connection) {
    if (connection == NULL)
        return;
    numi_connection_shut(connection);
    free(connection);
}

static void lose(struct numi_connection *connection, int error) {
    struct numi_connection_counts *counts = &connection->counts;
    numi_connection_shut(connection);
    connection->state = NUMI_CONNECTION_LOST;
    if (error == 0)
        counts->closed++;
    else if (error == ECONNREFUSED)
        counts->refused++;
    else if (error == ECONNRESET || error == EPIPE)
        counts->reset++;
    else
        counts->errors++;
    counts->last_error = error != 0 ? error : counts->last_error;
}

int numi_connection_connect(struct numi_connection *connection, const char *text) {
    struct numi_address address;
    const int one = 1;
    numi_connection_shut(connection);
    int code = numi_address_parse(&address, text);
    if (code != NUMI_OK)
        return code;
    connection->fd = numi_address_socket(&address, SOCK_STREAM);
    if (connection->fd < 0)
        return connection->fd;
    connection->counts.connects++;
    /* What is said is short and awaited. Without it everything still works. */
    (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connection->state = NUMI_CONNECTION_CONNECTING;
    int failed = connect(connection->fd, (struct sockaddr *)&address.storage, address.size);
    if (failed != 0 && errno != EINPROGRESS)
        lose(connection, errno);
    return connection->state;
}

int numi_connection_step(struct numi_connection *connection) {
    if (connection->state != NUMI_CONNECTION_CONNECTING)
        return connection->state;
    struct pollfd ready = {.fd = connection->fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;
    if (poll(&ready, 1, 0) != 1)
        return connection->state;
    if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (error != 0) {
        lose(connection, error);
    } else {
        connection->state = NUMI_CONNECTION_OPEN;
        connection->counts.opened++;
    }
    return connection->state;
}

static bool would_block(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

int numi_connection_send(struct numi_connection *connection, const uint8_t *bytes, uint32_t size) {
    if (connection->state != NUMI_CONNECTION_OPEN || size == 0)
        return 0;
    ssize_t sent = send(connection->fd, bytes, size, MSG_NOSIGNAL);
    if (sent < 0) {
        if (!would_block(errno))
            lose(connection, errno);
        return 0;
    }
    connection->counts.bytes_sent += (uint64_t)sent;
    return (int)sent;
}

int numi_connection_receive(struct numi_connection *connection, uint8_t *bytes, uint32_t room) {
    if (connection->state != NUMI_CONNECTION_OPEN || room == 0)
        return 0;
    ssize_t size = recv(connection->fd, bytes, room, 0);
    if (size <= 0) {
        if (size == 0 || !would_block(errno))
            lose(connection, size == 0 ? 0 : errno);
        return 0;
    }
    connection->counts.bytes_received += (uint64_t)size;
    return (int)size;
}

int numi_connection_fd(const struct numi_connection *connection) {
    return connection->fd;
}

const struct numi_connection_counts *
numi_connection_counts(const struct numi_connection *connection) {
    return &connection->counts;
}
