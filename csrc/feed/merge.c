#include "feed/merge.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "feed/merge_private.h"

enum {
    DEFAULT_WINDOW = 1 << 16,
    DEFAULT_PENDING = 1 << 14,
    DEFAULT_COMPARED = 1 << 12,
};

/* ---- Open and close. */

void numi_merge_defaults(struct numi_merge_options *options) {
    *options = (struct numi_merge_options){
        .window = DEFAULT_WINDOW,
        .gap_timeout_ns = 20000000,
        .dwell_ns = 2000000,
        .silence_ns = 1000000000,
        .pending_max = DEFAULT_PENDING,
        .compared = DEFAULT_COMPARED,
        .agree = 2,
        .line_count = 2,
        .leave_after = 2,
        .return_after = 8,
        .sequence_size = 8,
    };
}

static int refuse(const char *name, uint64_t value, const char *allowed) {
    return numi_error_set(NUMI_ERR_ARGUMENT, "merge: %s is %llu: allowed are %s", name,
                          (unsigned long long)value, allowed);
}

static int check_numbering(const struct numi_merge_options *options) {
    if (options->numbering > NUMI_NUMBERED_BY_OFFSET)
        return refuse("numbering", options->numbering, "mold and offset");
    if (options->numbering == NUMI_NUMBERED_BY_OFFSET && options->sequence_size != 4 &&
        options->sequence_size != 8)
        return refuse("sequence_size", options->sequence_size, "4 and 8");
    if (options->sequence_offset > 65535)
        return refuse("sequence_offset", options->sequence_offset, "0 to 65535");
    return NUMI_OK;
}

static int check_options(const struct numi_merge_options *options, bool has_pool) {
    if (options->window_max != 0 && options->window_max < options->window)
        return refuse("window_max", options->window_max, "0 and what is not below window");
    if (options->compared > NUMI_MERGE_COMPARED_MAX ||
        (options->compared != 0 && !numi_is_power_of_two(options->compared)))
        return refuse("compared", options->compared, "0 and powers of two up to 16777216");
    if (has_pool && (options->pending_max == 0 || options->pending_max > NUMI_POOL_FRAME_COUNT_MAX))
        return refuse("pending_max", options->pending_max, "1 to 16777216 with a pool");
    if (options->agree < 1 || options->agree > 2)
        return refuse("agree", options->agree, "1 and 2");
    if (options->line_count < 1 || options->line_count > 2)
        return refuse("line_count", options->line_count, "1 and 2");
    if (options->hands_over && !has_pool)
        return refuse("hands_over", options->hands_over, "0 without a pool");
    if (options->primary >= options->line_count)
        return refuse("primary", options->primary, "the lines");
    if (options->leave_after == 0 || options->return_after == 0)
        return refuse("leave_after or return_after", 0, "1 and more");
    if ((options->gap_timeout_ns | options->dwell_ns | options->silence_ns | options->restart_ns) <
        0)
        return refuse("a time", 0, "0 and more");
    return check_numbering(options);
}

static int open_parts(struct numi_merge *merge) {
    const struct numi_merge_options *options = &merge->options;
    /* One more: a packet that goes on with the output is never refused for want of a place. */
    uint32_t packet_max = options->pending_max == 0 ? 0 : options->pending_max + 1;
    int code = numi_window_open(&merge->window, packet_max);
    if (code == NUMI_OK)
        code = numi_copies_open(&merge->copies, options->compared, options->line_count);
    if (code == NUMI_OK)
        code = numi_coverage_bound(&merge->lost, NUMI_MERGE_LOST_MAX);
    return code;
}

int numi_merge_open(struct numi_merge **out, const struct numi_merge_options *options,
                    struct numi_pool *pool) {
    *out = NULL;
    int code = check_options(options, pool != NULL);
    if (code != NUMI_OK)
        return code;
    struct numi_merge *merge = calloc(1, sizeof *merge);
    if (merge == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "merge");
    merge->options = *options;
    merge->pool = pool;
    merge->counts.window = options->window == 0 ? UINT64_MAX : options->window;
    merge->counts.lines[0].last_ns = merge->counts.lines[1].last_ns = INT64_MIN;
    merge->now_ns = merge->due_ns = merge->advanced_ns = merge->began_ns = INT64_MIN;
    merge->alarm_ns = INT64_MIN; /* the first packet looks at the clock */
    merge->is_plain = options->numbering == NUMI_NUMBERED_BY_MOLD && options->restart_ns == 0;
    merge->preference = (struct numi_preference){
        .primary = options->primary,
        .leave_after = options->leave_after,
        .return_after = options->return_after,
        .dwell_ns = options->dwell_ns,
    };
    numi_preference_begin(&merge->preference);
    code = open_parts(merge);
    if (code != NUMI_OK)
        numi_merge_close(merge);
    else
        *out = merge;
    return code;
}

/* ---- Whose the bytes are. */

/* The run is the last of its packet. */
static inline void spend(struct numi_merge *merge) {
    merge->run.release = merge->options.hands_over != 0;
    merge->has_spent = !merge->run.release;
}

static void let_go_of_all(struct numi_merge *merge) {
    struct numi_window *window = &merge->window;
    for (uint32_t i = 1; i < window->packet_used && window->packet_count > 0; i++)
        if (window->packets[i].payload != NULL)
            give_back(merge, window->packets[i].payload, window->packets[i].frame);
}

void numi_merge_close(struct numi_merge *merge) {
    if (merge == NULL)
        return;
    let_go_of_all(merge);
    free_spent(merge);
    if (merge->has_candidate)
        drop(merge, &merge->candidate.arrival);
    if (merge->is_waiting)
        drop(merge, &merge->waiting.arrival);
    numi_window_close(&merge->window);
    numi_copies_close(&merge->copies);
    numi_coverage_close(&merge->lost);
    for (uint64_t i = 0; i < merge->expected_count; i++)
        numi_coverage_close(&merge->expected[i].coverage);
    free(merge->expected);
    free(merge);
}

/* ---- Time. */

static int64_t due_after(int64_t since_ns, int64_t span_ns) {
    if (span_ns == 0)
        return INT64_MAX;
    return since_ns > INT64_MAX - span_ns ? INT64_MAX : since_ns + span_ns;
}

static int64_t gap_due(const struct numi_merge *merge) {
    if (merge->window.gap_count == 0)
        return INT64_MAX;
    int64_t known_ns = numi_window_gap(&merge->window, 0)->range.known_ns;
    return known_ns == INT64_MIN ? INT64_MIN : due_after(known_ns, merge->options.gap_timeout_ns);
}

static int64_t far_due(const struct numi_merge *merge) {
    if (NUMI_LIKELY(merge->far.count < merge->options.agree) || merge->window.packet_count > 0)
        return INT64_MAX;
    return due_after(merge->far.since_ns, merge->options.gap_timeout_ns);
}

static int64_t silence_due(const struct numi_merge *merge, uint32_t line) {
    const struct numi_line_state *state = &merge->counts.lines[line];
    if (state->is_silent || merge->began_ns == INT64_MIN)
        return INT64_MAX;
    int64_t since_ns = state->last_ns == INT64_MIN ? merge->began_ns : state->last_ns;
    return due_after(since_ns, merge->options.silence_ns);
}

static int64_t least(int64_t one, int64_t other) {
    return one < other ? one : other;
}

/* When anything but a gap is due. */
static int64_t next_alarm(const struct numi_merge *merge) {
    int64_t due = merge->preference.due_ns;
    for (uint32_t line = 0; line < merge->options.line_count; line++)
        due = least(due, silence_due(merge, line));
    return due;
}

int64_t numi_merge_due(const struct numi_merge *merge) {
    return least(least(gap_due(merge), far_due(merge)), next_alarm(merge));
}

void numi_merge_raise_alarms(struct numi_merge *merge) {
    if (merge->began_ns == INT64_MIN)
        merge->began_ns = merge->now_ns;
    if (merge->preference.due_ns <= merge->due_ns)
        numi_preference_switch(&merge->preference, merge->preference.due_ns);
    for (uint32_t line = 0; line < merge->options.line_count; line++)
        if (silence_due(merge, line) <= merge->due_ns) {
            merge->counts.lines[line].is_silent = true;
            merge->counts.lines[line].silences++;
        }
    merge->alarm_ns = next_alarm(merge);
}

void numi_merge_look_at_alarms(struct numi_merge *merge) {
    merge->alarm_ns = next_alarm(merge);
}

bool numi_merge_has_due(const struct numi_merge *merge) {
    return gap_due(merge) <= merge->due_ns || far_due(merge) <= merge->due_ns;
}

void numi_merge_advance(struct numi_merge *merge, int64_t now_ns) {
    merge->now_ns = now_ns > merge->now_ns ? now_ns : merge->now_ns;
    merge->due_ns = merge->now_ns;
    if (merge->began_ns != INT64_MIN && merge->alarm_ns <= merge->due_ns)
        numi_merge_raise_alarms(merge);
}

/* ---- The output. */

static inline void note_begin(struct numi_merge *merge) {
    merge->run.begins_session = merge->is_fresh;
    merge->is_fresh = false;
}

static inline void hand_out(struct numi_merge *merge) {
    merge->has_run = false;
    if (merge->spends)
        spend(merge);
    note_begin(merge);
}

/* Of a packet that goes out whole the bytes are known without a look at them. */
static void fill_piece(struct numi_merge *merge, const struct numi_piece *piece,
                       const struct numi_held *held) {
    struct numi_merge_run *run = &merge->run;
    bool is_whole = piece->sequence == held->sequence && piece->count == held->count;
    run->sequence = piece->sequence;
    run->count = piece->count;
    run->rx_ns = held->rx_ns;
    run->frame = held->frame;
    run->flags = held->flags;
    run->line = held->line;
    run->is_bare = run->release = false;
    run->bytes = held->payload + NUMI_MOLD_HEADER_SIZE;
    run->size = held->size - NUMI_MOLD_HEADER_SIZE;
    if (!is_whole || is_bare(merge))
        numi_merge_fill_bytes(merge, held->payload, held->size, held->sequence, run);
}

static void hand_out_piece(struct numi_merge *merge) {
    struct numi_ledger *ledger = &merge->counts.ledger;
    struct numi_piece piece = numi_window_pop(&merge->window);
    struct numi_held *held = &merge->window.packets[piece.packet];
    fill_piece(merge, &piece, held);
    ledger->messages[NUMI_MESSAGES_HELD] -= piece.count;
    ledger->messages[NUMI_MESSAGES_NEW] += piece.count;
    ledger->frames[NUMI_FRAMES_HELD] -= !held->is_out;
    ledger->frames[NUMI_FRAMES_DELIVERED] += !held->is_out;
    held->is_out = true;
    if (held->pieces > 0)
        return;
    merge->spent_payload = held->payload;
    merge->spent_frame = held->frame;
    spend(merge);
    numi_window_let_go(&merge->window, piece.packet);
    if (merge->window.packet_count == 0)
        numi_merge_narrow(merge);
}

static void hand_out_gap(struct numi_merge *merge, struct numi_gap gap) {
    merge->run = (struct numi_merge_run){.sequence = gap.from, .count = gap.to - gap.from};
    merge->counts.gaps++;
    merge->counts.missing += merge->run.count;
    merge->far.count = 0;
    (void)numi_coverage_add(&merge->lost, gap.from, gap.to);
    merge->whole = gap.to;
}

static bool is_due(const struct numi_merge *merge) {
    if (merge->window.gap_count == 0)
        return false;
    return merge->is_ending || merge->is_turning || gap_due(merge) <= merge->due_ns;
}

/* Gaps that follow one another, all due, are one. */
static struct numi_gap declare(struct numi_merge *merge) {
    struct numi_gap gap = numi_window_declare(&merge->window);
    while (merge->window.ready.first == 0 && is_due(merge))
        gap.to = numi_window_declare(&merge->window).to;
    return gap;
}

/* Nothing below `to` will come. */
static struct numi_gap pass_over(struct numi_merge *merge, uint64_t to) {
    struct numi_window *window = &merge->window;
    if (to >= window->top && window->packet_count == 0)
        return numi_window_jump(window, to);
    numi_window_give_up(window, window->next, to);
    return declare(merge);
}

/* Where the output stands, nothing will come any more. */
static bool find_gap(struct numi_merge *merge, struct numi_gap *gap) {
    uint64_t never = numi_merge_end_of_never(merge);
    if (never > merge->window.next)
        *gap = pass_over(merge, never);
    else if (is_due(merge))
        *gap = declare(merge);
    else if (NUMI_UNLIKELY(far_due(merge) <= merge->due_ns)) {
        merge->counts.jumps++;
        *gap = pass_over(merge, merge->far.low);
    } else
        return false;
    return true;
}

/* Whether `run` is the next one. Without a look at what waits for the rest to be out. */
static bool next_of_session(struct numi_merge *merge) {
    struct numi_gap gap;
    if (merge->has_run) {
        hand_out(merge);
        return true;
    }
    if (merge->window.ready.first != 0)
        hand_out_piece(merge);
    else if (find_gap(merge, &gap))
        hand_out_gap(merge, gap);
    else
        return false;
    note_begin(merge);
    return true;
}

int numi_merge_next(struct numi_merge *merge, const struct numi_merge_run **run) {
    free_spent(merge);
    *run = &merge->run;
    if (NUMI_LIKELY(merge->has_run)) {
        hand_out(merge);
        return 1;
    }
    if (NUMI_LIKELY(!has_more(merge)))
        return 0;
    while (!next_of_session(merge)) {
        int code = numi_merge_take_kept(merge);
        if (code != 1)
            return code;
    }
    return 1;
}

void numi_merge_flush(struct numi_merge *merge) {
    merge->is_ending = true;
}

void numi_merge_give_up(struct numi_merge *merge, uint64_t from, uint64_t to) {
    numi_window_give_up(&merge->window, from, to);
}

/* ---- What there is to see. */

uint32_t numi_merge_gaps(const struct numi_merge *merge, struct numi_gap *gaps, uint32_t gap_max) {
    uint32_t count = merge->window.gap_count < gap_max ? merge->window.gap_count : gap_max;
    for (uint32_t i = 0; i < count; i++)
        gaps[i] = numi_window_gap(&merge->window, i)->range;
    return count;
}

const uint8_t *numi_merge_session(const struct numi_merge *merge) {
    return merge->in_session ? merge->session : NULL;
}

uint64_t numi_merge_sequence(const struct numi_merge *merge) {
    return merge->window.next;
}

const struct numi_merge_counts *numi_merge_counts(const struct numi_merge *merge) {
    return &merge->counts;
}

const struct numi_copies *numi_merge_copies(const struct numi_merge *merge) {
    return &merge->copies;
}

const struct numi_preference *numi_merge_preference(const struct numi_merge *merge) {
    return &merge->preference;
}

void numi_merge_settle(struct numi_merge *merge) {
    numi_copies_end(&merge->copies);
}
