#include "port/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static int refuse(const char *text, const char *why) {
    return numi_error_set(NUMI_ERR_ARGUMENT,
                          "address '%.80s': %s; allowed are 10.1.2.3:26400 and [fe80::1]:26400",
                          text, why);
}

/* 1 to 65535, digits only; 0 for anything else. */
static uint16_t parse_port(const char *text) {
    uint32_t port = 0;
    for (size_t i = 0; text[i] != 0; i++) {
        if (text[i] < '0' || text[i] > '9' || i == 5)
            return 0;
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

int numi_address_parse(struct numi_address *address, const char *text) {
    char host[INET6_ADDRSTRLEN];
    bool is_v6 = text[0] == '[';
    const char *begin = text + is_v6, *end = strrchr(text, is_v6 ? ']' : ':');
    if (end == NULL || end < begin || (size_t)(end - begin) >= sizeof host)
        return refuse(text, "no host and port in it");
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = 0;
    end += is_v6;
    uint16_t port = *end == ':' ? parse_port(end + 1) : 0;
    if (port == 0)
        return refuse(text, "no port from 1 to 65535 at its end");
    memset(address, 0, sizeof *address);
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address->storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address->storage;
    address->size = is_v6 ? sizeof *v6 : sizeof *v4;
    address->storage.ss_family = is_v6 ? AF_INET6 : AF_INET;
    *(is_v6 ? &v6->sin6_port : &v4->sin_port) = htons(port);
    void *bytes = is_v6 ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr;
    if (inet_pton(address->storage.ss_family, host, bytes) != 1)
        return refuse(text, "the host is no number");
    return NUMI_OK;
}

int numi_address_socket(const struct numi_address *address, int type) {
    int fd = socket(address->storage.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd >= 0 ? fd : numi_error_set_errno(errno, "a socket");
}
