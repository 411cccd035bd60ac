/* Everything that changes the process (affinity, class, locked pages) happens in a child. */
#include "check.h"

#include <sched.h>
#include <sys/mman.h>

#include "base/core.h"
#include "base/error.h"

static void get_affinity(cpu_set_t *set) {
    NEED(sched_getaffinity(0, sizeof *set, set) == 0);
}

static void pin_everywhere(void *unused) {
    (void)unused;
    cpu_set_t allowed, set;
    get_affinity(&allowed);
    for (uint32_t cpu = 0; cpu < NUMI_CPU_MAX; cpu++) {
        if (!CPU_ISSET(cpu, &allowed)) {
            EXPECT_EQ(numi_core_pin(cpu), NUMI_ERR_ARGUMENT);
            continue;
        }
        EXPECT_EQ(numi_core_pin(cpu), NUMI_OK);
        EXPECT_EQ(numi_core_current(), cpu);
        get_affinity(&set);
        EXPECT_EQ(CPU_COUNT(&set), 1);
    }
    EXPECT_EQ(numi_core_unpin(), NUMI_OK);
    get_affinity(&set);
    EXPECT(CPU_EQUAL(&set, &allowed));
    EXPECT_EQ(numi_core_pin(NUMI_CPU_MAX), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_core_pin(UINT32_MAX), NUMI_ERR_ARGUMENT);
}

TEST(a_pinned_thread_runs_there_and_may_leave_again) {
    EXPECT_FORK_PASSES(pin_everywhere, NULL);
}

static void go_fifo(void *unused) {
    (void)unused;
    EXPECT_EQ(numi_core_fifo(100), NUMI_ERR_ARGUMENT);
    int code = numi_core_fifo(1);
    if (code == NUMI_ERR_PERMISSION)
        _exit(CHECK_SKIPPED);
    EXPECT_EQ(code, NUMI_OK);
    EXPECT_EQ(sched_getscheduler(0), SCHED_FIFO);
    EXPECT_EQ(numi_core_fifo(0), NUMI_OK);
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
}

TEST(fifo_and_back) {
    struct check_child child = check_fork(go_fifo, NULL);
    if (child.exit_code == CHECK_SKIPPED)
        SKIP("SCHED_FIFO needs CAP_SYS_NICE or an rtprio limit");
    EXPECT_EQ(child.exit_code, 0);
    EXPECT_TEXT(child.text, "");
}

static void lock_memory(void *unused) {
    (void)unused;
    int code = numi_core_lock_memory();
    if (code == NUMI_ERR_PERMISSION || code == NUMI_ERR_NO_MEMORY) {
        EXPECT_CONTAINS(numi_error_detail(), "ulimit -l");
        return;
    }
    EXPECT_EQ(code, NUMI_OK);
    EXPECT_EQ(numi_core_unlock_memory(), NUMI_OK);
}

TEST(memory_locks_or_says_why_not) {
    EXPECT_FORK_PASSES(lock_memory, NULL);
}

TEST(a_touched_page_is_a_fault) {
    enum { PAGE_COUNT = 16, PAGE_SIZE = 4096 };
    struct numi_faults before, after;
    uint8_t *pages = mmap(NULL, PAGE_COUNT * PAGE_SIZE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(pages != MAP_FAILED);
    madvise(pages, PAGE_COUNT * PAGE_SIZE, MADV_NOHUGEPAGE);
    EXPECT_EQ(numi_core_faults(&before), NUMI_OK);
    for (int page = 0; page < PAGE_COUNT; page++)
        *(volatile uint8_t *)(pages + page * PAGE_SIZE) = 1;
    EXPECT_EQ(numi_core_faults(&after), NUMI_OK);
    EXPECT(after.thread_minor - before.thread_minor >= PAGE_COUNT);
    EXPECT(after.process_minor - before.process_minor >= PAGE_COUNT);
    EXPECT(after.process_minor >= after.thread_minor);
    munmap(pages, PAGE_COUNT * PAGE_SIZE);
}

TEST(the_topology_names_every_online_cpu) {
    static struct numi_cpu cpus[NUMI_CPU_MAX];
    cpu_set_t allowed;
    get_affinity(&allowed);
    int count = numi_core_topology(cpus, NUMI_CPU_MAX);
    EXPECT_EQ(count, sysconf(_SC_NPROCESSORS_ONLN));
    EXPECT_EQ(numi_core_topology(NULL, 0), count);
    int allowed_count = 0;
    for (int i = 0; i < count; i++) {
        EXPECT(i == 0 || cpus[i - 1].cpu < cpus[i].cpu);
        EXPECT_EQ(cpus[i].allowed, CPU_ISSET(cpus[i].cpu, &allowed) != 0);
        EXPECT(cpus[i].node >= -1);
        allowed_count += cpus[i].allowed;
    }
    EXPECT_EQ(allowed_count, CPU_COUNT(&allowed));
}

TEST(the_topology_stops_where_the_caller_has_no_more_room) {
    struct numi_cpu cpus[2];
    memset(cpus, 0xEE, sizeof cpus);
    EXPECT(numi_core_topology(cpus, 1) >= 1);
    EXPECT_EQ(cpus[1].cpu, 0xEEEEEEEE);
}

CHECK_MAIN
