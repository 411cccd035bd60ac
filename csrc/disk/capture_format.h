/* The numbers of pcap and pcapng, for the reader and the writer. */
#ifndef NUMI_DISK_CAPTURE_FORMAT_H
#define NUMI_DISK_CAPTURE_FORMAT_H

#include "disk/capture.h"
#include "wire/packet.h"

enum {
    PCAP_HEAD_SIZE = 24,
    PCAP_RECORD_SIZE = 16,
    PCAP_VERSION = 2,
    NG_BLOCK_SIZE_MIN = 12, /* kind, length, length again */
    NG_OPTION_SIZE = 4,
    NS_PER_SECOND = 1000000000,
};

#define PCAP_MAGIC_MICRO 0xA1B2C3D4u
#define PCAP_MAGIC_NANO  0xA1B23C4Du

enum ng_block {
    NG_SECTION = 0x0A0D0D0A, /* the same in both byte orders */
    NG_ORDER = 0x1A2B3C4D,   /* within a section: which of the two */
    NG_INTERFACE = 1,
    NG_OLD_PACKET = 2,
    NG_SIMPLE = 3,
    NG_NAMES = 4,
    NG_STATISTICS = 5,
    NG_ENHANCED = 6,
};

enum ng_option {
    NG_END_OF_OPTIONS = 0,
    NG_COMMENT = 1,
    NG_IF_NAME = 2,
    NG_IF_DESCRIPTION = 3,
    NG_IF_TSRESOL = 9,
    NG_IF_TSOFFSET = 14,
    /* received, dropped, accepted, os_dropped, delivered */
    NG_COUNTER_FIRST = 4,
    NG_COUNTER_COUNT = 5,
};

#endif
