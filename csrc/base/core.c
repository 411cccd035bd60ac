#define _GNU_SOURCE
#include "base/core.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"

/* What the process was allowed before anybody pinned anything. */
static cpu_set_t allowed_at_start;

__attribute__((constructor)) static void remember_allowed(void) {
    if (sched_getaffinity(0, sizeof allowed_at_start, &allowed_at_start) != 0)
        CPU_ZERO(&allowed_at_start);
}

int numi_core_pin(uint32_t cpu) {
    if (cpu >= NUMI_CPU_MAX || !CPU_ISSET(cpu, &allowed_at_start))
        return numi_error_set(NUMI_ERR_ARGUMENT,
                              "cpu %u: this process may not run there (see numi-bypass features)",
                              cpu);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        return numi_error_set_errno(errno, "pinning to cpu %u", cpu);
    return NUMI_OK;
}

int numi_core_unpin(void) {
    if (sched_setaffinity(0, sizeof allowed_at_start, &allowed_at_start) != 0)
        return numi_error_set_errno(errno, "unpinning");
    return NUMI_OK;
}

int numi_core_current(void) {
    int cpu = sched_getcpu();
    return cpu >= 0 ? cpu : numi_error_set_errno(errno, "asking for the current cpu");
}

int numi_core_fifo(uint32_t priority) {
    if (priority > 99)
        return numi_error_set(NUMI_ERR_ARGUMENT, "fifo priority %u: allowed 0 to 99", priority);
    struct sched_param parameter = {.sched_priority = (int)priority};
    if (sched_setscheduler(0, priority ? SCHED_FIFO : SCHED_OTHER, &parameter) != 0)
        return numi_error_set_errno(
            errno, "fifo priority %u (give CAP_SYS_NICE or raise the rtprio limit)", priority);
    return NUMI_OK;
}

int numi_core_lock_memory(void) {
    if (mlockall(MCL_CURRENT | MCL_FUTURE) == 0)
        return NUMI_OK;
    /* Beyond the memlock limit it is ENOMEM: a permission, all the same. */
    return numi_error_set_errno(
        errno == ENOMEM ? EPERM : errno,
        "locking memory (give CAP_IPC_LOCK or raise the memlock limit: ulimit -l)");
}

int numi_core_unlock_memory(void) {
    if (munlockall() != 0)
        return numi_error_set_errno(errno, "unlocking memory");
    return NUMI_OK;
}

int numi_core_faults(struct numi_faults *faults) {
    struct rusage process, thread;
    if (getrusage(RUSAGE_SELF, &process) != 0 || getrusage(RUSAGE_THREAD, &thread) != 0)
        return numi_error_set_errno(errno, "asking for page faults");
    *faults = (struct numi_faults){(uint64_t)process.ru_minflt, (uint64_t)process.ru_majflt,
                                   (uint64_t)thread.ru_minflt, (uint64_t)thread.ru_majflt};
    return NUMI_OK;
}

/* The first number in a file of /sys, or `otherwise`. */
static long read_number(const char *path, long otherwise) {
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return otherwise;
    long number;
    if (fscanf(file, "%ld", &number) != 1)
        number = otherwise;
    fclose(file);
    return number;
}

/* A kernel list such as "0-3,8" into a set; a missing or empty file is an empty set. */
static void read_cpu_list(const char *path, cpu_set_t *set) {
    CPU_ZERO(set);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    unsigned first, last;
    while (fscanf(file, "%u", &first) == 1) {
        last = first;
        int next = fgetc(file);
        if (next == '-' && fscanf(file, "%u", &last) == 1)
            next = fgetc(file);
        for (unsigned cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++)
            CPU_SET(cpu, set);
        if (next != ',')
            break;
    }
    fclose(file);
}

static int node_of(uint32_t cpu) {
    enum { NODE_MAX = 64 };
    char path[96];
    for (int node = 0; node < NODE_MAX; node++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/node%d", cpu, node);
        if (access(path, F_OK) == 0)
            return node;
    }
    return -1;
}

static struct numi_cpu describe(uint32_t cpu, const cpu_set_t *isolated) {
    char core[96], package[96];
    snprintf(core, sizeof core, "/sys/devices/system/cpu/cpu%u/topology/core_id", cpu);
    snprintf(package, sizeof package, "/sys/devices/system/cpu/cpu%u/topology/physical_package_id",
             cpu);
    return (struct numi_cpu){
        .cpu = cpu,
        .core = (uint32_t)read_number(core, (long)cpu),
        .package = (uint32_t)read_number(package, 0),
        .node = node_of(cpu),
        .allowed = CPU_ISSET(cpu, &allowed_at_start) != 0,
        .isolated = CPU_ISSET(cpu, isolated) != 0,
    };
}

int numi_core_topology(struct numi_cpu *cpus, uint32_t cpu_max) {
    cpu_set_t online, isolated;
    read_cpu_list("/sys/devices/system/cpu/online", &online);
    read_cpu_list("/sys/devices/system/cpu/isolated", &isolated);
    if (CPU_COUNT(&online) == 0) /* no /sys: what we may run on is what we know */
        online = allowed_at_start;
    uint32_t count = 0;
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &online))
            continue;
        if (count < cpu_max)
            cpus[count] = describe(cpu, &isolated);
        count++;
    }
    return (int)count;
}
