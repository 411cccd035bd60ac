#include "port/port.h"

int64_t numi_port_next_ns(struct numi_port *port) {
    return port->ops->next_ns(port);
}

const struct numi_port_counts *numi_port_counts(const struct numi_port *port) {
    return &port->counts;
}

void numi_port_close(struct numi_port *port) {
    if (port != NULL)
        port->ops->close(port);
}
