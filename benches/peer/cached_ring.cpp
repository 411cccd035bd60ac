// The peer that our ring is measured against: a C++ single-producer/single-consumer ring of the
// cached-cursor design, as the well-known C++ libraries build it. Written for the benchmark; the
// loops mirror csrc/bench/hot.c, so that only the rings differ.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <sched.h>

#if defined(__x86_64__)
#include <x86intrin.h>
static inline uint64_t ticks() {
    return __rdtsc();
}
#else
static inline uint64_t ticks() {
    uint64_t value;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(value));
    return value;
}
#endif

namespace {

template <typename Record> class CachedRing {
  public:
    explicit CachedRing(uint64_t count)
        : mask_(count - 1),
          records_(static_cast<Record *>(std::aligned_alloc(128, count * sizeof(Record)))) {
    }
    ~CachedRing() {
        std::free(records_);
    }
    CachedRing(const CachedRing &) = delete;
    CachedRing &operator=(const CachedRing &) = delete;

    bool push(const Record &record) {
        const uint64_t tail = tail_.load(std::memory_order_relaxed);
        if (tail - head_cache_ > mask_) {
            head_cache_ = head_.load(std::memory_order_acquire);
            if (tail - head_cache_ > mask_)
                return false;
        }
        records_[tail & mask_] = record;
        tail_.store(tail + 1, std::memory_order_release);
        return true;
    }

    bool pop(Record &record) {
        const uint64_t head = head_.load(std::memory_order_relaxed);
        if (head == tail_cache_) {
            tail_cache_ = tail_.load(std::memory_order_acquire);
            if (head == tail_cache_)
                return false;
        }
        record = records_[head & mask_];
        head_.store(head + 1, std::memory_order_release);
        return true;
    }

  private:
    const uint64_t mask_;
    Record *const records_;
    alignas(128) std::atomic<uint64_t> tail_{0};
    alignas(128) uint64_t head_cache_{0};
    alignas(128) std::atomic<uint64_t> head_{0};
    alignas(128) uint64_t tail_cache_{0};
};

using Ring = CachedRing<uint64_t>;

class Pinned {
  public:
    explicit Pinned(unsigned cpu) {
        sched_getaffinity(0, sizeof before_, &before_);
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
    }
    ~Pinned() {
        sched_setaffinity(0, sizeof before_, &before_);
    }

  private:
    cpu_set_t before_;
};

inline void keep(uint64_t value) {
    __asm__ __volatile__("" ::"r"(value) : "memory");
}

constexpr uint64_t kBlock = 1024;

} // namespace

#pragma GCC visibility push(default)
extern "C" {

void *peer_ring_open(uint64_t count) {
    return new (std::nothrow) Ring(count);
}

void peer_ring_close(void *ring) {
    delete static_cast<Ring *>(ring);
}

int64_t peer_ring_stream_push(void *opaque, unsigned cpu, uint64_t count, uint64_t deadline) {
    Ring &ring = *static_cast<Ring *>(opaque);
    Pinned pinned(cpu);
    uint64_t pushed = 0;
    while (pushed < count) {
        if (__builtin_expect(ring.push(pushed), 1))
            pushed++;
        else if (ticks() > deadline)
            break;
    }
    return static_cast<int64_t>(pushed);
}

int64_t peer_ring_stream_pop(void *opaque, unsigned cpu, uint64_t count, uint64_t deadline) {
    Ring &ring = *static_cast<Ring *>(opaque);
    Pinned pinned(cpu);
    uint64_t record = 0, first = 0;
    for (uint64_t expected = 0; expected < count; expected++) {
        while (!ring.pop(record))
            if (__builtin_expect(ticks() > deadline, 0))
                return -1;
        if (record != expected)
            return -1;
        if (expected == 0)
            first = ticks();
    }
    return static_cast<int64_t>(ticks() - first);
}

uint64_t peer_ring_round_trip(void *opaque, uint32_t blocks) {
    Ring &ring = *static_cast<Ring *>(opaque);
    uint64_t record = 0, begin = ticks();
    for (uint32_t block = 0; block < blocks; block++) {
        for (uint64_t i = 0; i < kBlock; i++)
            keep(static_cast<uint64_t>(ring.push(i)));
        for (uint64_t i = 0; i < kBlock; i++) {
            ring.pop(record);
            keep(record);
        }
    }
    return ticks() - begin;
}
}
