// @NAME@: to whom one `@KIND@` may go, and how much of `@DIM@` it reserves and uses.
//
// `check` is asked before the effect and `settle` after it. Both see nothing but the question: no clock, no
// file, no earlier call. See spec/03-abi.md for the rules and the SDK's README for every field type.

#include <splittally.h>

struct cap { tally_texts to; tally_maybe count_max; };
static const tally_field cap_fields[] = {
    TALLY_OPTIONAL(struct cap, to), TALLY_OPTIONAL(struct cap, count_max),
};

struct params { tally_text to; uint64_t count; };
static const tally_field params_fields[] = {
    TALLY_REQUIRED(struct params, to), TALLY_OPTIONAL(struct params, count),
};

struct payload { tally_maybe count; };
static const tally_field payload_fields[] = {TALLY_OPTIONAL(struct payload, count)};

bool check(void) {
    struct cap cap = {0};
    struct params params = {.count = 1};
    if (!tally_kind_in("@KIND@")) return false;
    if (!tally_cap(cap_fields, &cap) || !tally_params(params_fields, &params)) return false;
    if (!tally_texts_allow(cap.to, params.to))
        return tally_refuse(
            "to_not_allowed", "to ", tally_quote(params.to),
            " is not on the grant's list; use a listed one or ask for a wider grant");
    if (cap.count_max.is_there && params.count > cap.count_max.value)
        return tally_refuse(
            "count_too_large", "count ", params.count, " is above the grant's ", cap.count_max.value,
            "; ask for less at once");
    tally_put("@DIM@", params.count);
    return true;
}

bool settle(const tally_receipt *receipt) {
    struct payload payload = {0};
    if (!tally_kind_in("@KIND@") || !tally_payload(receipt, payload_fields, &payload)) return false;
    const uint64_t stated = receipt->status == TALLY_OK ? tally_reserved("@DIM@") : 0;
    tally_use("@DIM@", payload.count.is_there ? payload.count.value : stated);
    return true;
}
