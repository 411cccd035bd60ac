#include "feed/preference.h"

void numi_preference_begin(struct numi_preference *preference) {
    preference->preferred = preference->primary;
    preference->streak = 0;
    preference->due_ns = INT64_MAX;
    preference->advanced_ns[0] = preference->advanced_ns[1] = INT64_MIN;
    preference->switched_ns = INT64_MIN;
    preference->switch_ns = -1;
}

void numi_preference_switch(struct numi_preference *preference, int64_t at_ns) {
    int64_t advanced_ns = preference->advanced_ns[preference->preferred];
    preference->switch_ns = advanced_ns == INT64_MIN ? -1 : at_ns - advanced_ns;
    preference->preferred ^= 1;
    preference->switched_ns = at_ns;
    preference->switches++;
    preference->streak = 0;
    preference->due_ns = INT64_MAX;
}

static int64_t end_of_dwell(const struct numi_preference *preference) {
    if (preference->switched_ns == INT64_MIN)
        return INT64_MIN;
    return preference->switched_ns + preference->dwell_ns;
}

void numi_preference_lengthen(struct numi_preference *preference, int64_t now_ns) {
    bool is_home = preference->preferred == preference->primary;
    uint32_t wanted = is_home ? preference->leave_after : preference->return_after;
    if (++preference->streak < wanted)
        return;
    if (end_of_dwell(preference) <= now_ns)
        numi_preference_switch(preference, now_ns);
    else
        preference->due_ns = end_of_dwell(preference);
}
