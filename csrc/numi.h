/* Every public header: what cffi binds, and what an embedding C program includes. */
#ifndef NUMI_H
#define NUMI_H

#include "base/build.h"
#include "base/clock.h"
#include "base/core.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/histogram.h"
#include "base/ledger.h"
#include "base/memory.h"
#include "base/types.h"
#include "bench/decode.h"
#include "bench/hot.h"
#include "disk/capture.h"
#include "disk/capture_write.h"
#include "disk/sink.h"
#include "disk/stream.h"
#include "feed/reader.h"
#include "frame/frame.h"
#include "frame/pool.h"
#include "frame/ring.h"
#include "make/day.h"
#include "make/lines.h"
#include "wire/event.h"
#include "wire/itch.h"
#include "wire/mold.h"
#include "wire/packet.h"
#include "wire/soup.h"

#endif
