/* Cores and pages: where the calling thread runs, how it is scheduled, what it may page, what it
 * has faulted. */
#ifndef NUMI_BASE_CORE_H
#define NUMI_BASE_CORE_H

#include "base/types.h"

/* One logical CPU, as the kernel describes it. */
struct numi_cpu {
    uint32_t cpu;
    uint32_t core; /* CPUs with the same core and package share execution units */
    uint32_t package;
    int32_t node;     /* NUMA node, -1 where the kernel names none */
    uint8_t allowed;  /* this process may run there */
    uint8_t isolated; /* kept free of the scheduler by isolcpus= */
    uint8_t reserved[6];
};

/* Page faults so far; a hot path's do not move after its first seconds. */
struct numi_faults {
    uint64_t process_minor;
    uint64_t process_major;
    uint64_t thread_minor;
    uint64_t thread_major;
};

/* The calling thread runs on `cpu` only. NUMI_ERR_ARGUMENT where this process may not run there. */
NUMI_API int numi_core_pin(uint32_t cpu);

/* The calling thread may run again wherever the process could when it started. */
NUMI_API int numi_core_unpin(void);

/* The CPU under the calling thread now. */
NUMI_API int numi_core_current(void);

/* The calling thread runs before all ordinary ones: SCHED_FIFO, `priority` 1 to 99; 0 goes back to
 * the ordinary class. NUMI_ERR_ARGUMENT, NUMI_ERR_PERMISSION (CAP_SYS_NICE or an rtprio limit). */
NUMI_API int numi_core_fifo(uint32_t priority);

/* Every page of the process, now and later, stays in memory. NUMI_ERR_PERMISSION,
 * NUMI_ERR_NO_MEMORY (memlock limit). */
NUMI_API int numi_core_lock_memory(void);
NUMI_API int numi_core_unlock_memory(void);

NUMI_API int numi_core_faults(struct numi_faults *faults);

/* Fills in at most `cpu_max` online CPUs, ascending, and returns how many are online. */
NUMI_API int numi_core_topology(struct numi_cpu *cpus, uint32_t cpu_max);

#endif
