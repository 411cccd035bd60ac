/* A port that reads a capture: its packets are handed out when their recorded time has come.
 *
 * At the recorded pace `now` is moved by the caller on an absolute schedule (recorded time plus one
 * offset), so that nothing drifts; at full speed it is the time of the end of the world. A packet
 * waits while the pool is empty: a file loses nothing. A packet without a time arrives with the one
 * before it. Captures of a line whose times go backwards are handed out in the file's order, the
 * later packet at the earlier one's time. */
#ifndef NUMI_PORT_PCAP_H
#define NUMI_PORT_PCAP_H

#include "port/port.h"

/* All that numi_capture_open fails with; NUMI_ERR_ARGUMENT for a bare file, which has no packets.
 */
NUMI_API int numi_port_open_pcap(struct numi_port **out, const char *path, uint32_t line,
                                 struct numi_pool *pool);

struct numi_capture;

/* The file, for its counts. */
NUMI_API const struct numi_capture *numi_port_capture(const struct numi_port *port);

#endif
