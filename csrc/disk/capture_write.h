/* Captures written: pcap (nano- or microseconds) and pcapng, plain, as gzip or as zstd.
 *
 *   open -> interface -> packet, comment, statistics ... -> close
 *
 * Little-endian. pcap has one interface and neither comments nor statistics. In pcapng times are
 * nanoseconds. Memory is the sink's; the first failure is kept and returned by every later call,
 * the close among them. What a full disk holds by then reads as a capture that was cut off within
 * its last record. */
#ifndef NUMI_DISK_CAPTURE_WRITE_H
#define NUMI_DISK_CAPTURE_WRITE_H

#include "disk/capture.h"

enum numi_capture_writer_limit {
    NUMI_CAPTURE_WRITER_COMMENT_MAX = 4096, /* bytes of all that wait for one block */
};

struct numi_capture_writer;

/* Makes the file. All that numi_sink_open fails with; NUMI_ERR_ARGUMENT for another format. */
NUMI_API int numi_capture_writer_open(struct numi_capture_writer **out, const char *path,
                                      uint32_t format, uint32_t compression);

/* A new interface of a link type (enum numi_link); its index, from 0. `name` and `description` may
 * be NULL. NUMI_ERR_ARGUMENT: a second one in a pcap, a link over 65535, texts of
 * NUMI_CAPTURE_NAME_ROOM bytes or more. */
NUMI_API int numi_capture_writer_interface(struct numi_capture_writer *writer, uint32_t link,
                                           const char *name, const char *description);

/* One packet: `size` bytes kept of `wire_size`. NUMI_ERR_ARGUMENT: no such interface, more than
 * NUMI_CAPTURE_PACKET_SIZE_MAX bytes, more than were on the wire, a time that the format has no
 * room for (before 1970; in a pcap after 2106). */
NUMI_API int numi_capture_writer_packet(struct numi_capture_writer *writer,
                                        uint32_t interface_index, int64_t ns, const void *data,
                                        uint32_t size, uint32_t wire_size);

/* A comment on the block written next: as the first of all calls on the file itself, before a
 * packet on that packet. Several may wait. NUMI_ERR_ARGUMENT: a pcap, or too much waiting. */
NUMI_API int numi_capture_writer_comment(struct numi_capture_writer *writer, const char *text);

/* What an interface says of itself, at statistics->ns if it has a time; only counters that are
 * present are written. NUMI_ERR_ARGUMENT: a pcap, no such interface, a time before 1970. */
NUMI_API int numi_capture_writer_statistics(struct numi_capture_writer *writer,
                                            uint32_t interface_index,
                                            const struct numi_capture_statistics *statistics);

/* Hands what is written so far to the kernel, for somebody who reads along (plain files). */
NUMI_API int numi_capture_writer_flush(struct numi_capture_writer *writer);

/* Bytes of the file so far, before compression. */
NUMI_API uint64_t numi_capture_writer_offset(const struct numi_capture_writer *writer);

/* Writes what is left and frees the writer in any case; NUMI_OK only if every byte has reached the
 * kernel. A pcap without an interface gets the head of Ethernet. NULL is NUMI_OK. */
NUMI_API int numi_capture_writer_close(struct numi_capture_writer *writer);

#endif
