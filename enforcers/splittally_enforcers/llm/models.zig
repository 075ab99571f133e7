//! Whether the model that a receipt names is the one that was asked for.
//!
//! Providers answer with a dated name, and gateways put their own before it: `gpt-x-2026-01-01`, `gpt-x@20260101` and
//! `acme/gpt-x` are `gpt-x`, and so is what `gpt-x-latest` stands for.

const sdk = @import("splittally");

const latest = "-latest";
const date_digits_least = 3; // `-001`, `-0613`, `-2026-01-01`

pub fn isSame(asked: []const u8, told: []const u8) bool {
    const one, const other = .{ undated(own(asked)), undated(own(told)) };
    return sdk.equal(own(asked), own(told)) or sdk.equal(one, own(told)) or sdk.equal(one, other) and
        (one.len == own(asked).len or sdk.endsWith(asked, latest));
}

/// The name behind the last slash.
fn own(name: []const u8) []const u8 {
    var at = name.len;
    while (at > 0 and name[at - 1] != '/') at -= 1;
    return name[at..];
}

/// The name without `-latest` or the date at its end: one group of digits, or a year, a month and a day.
fn undated(name: []const u8) []const u8 {
    if (sdk.endsWith(name, latest)) return name[0 .. name.len - latest.len];
    const short = withoutDigits(name);
    if (name.len - short.len > date_digits_least) return short;
    const month = withoutDigits(short);
    const year = withoutDigits(month);
    const is_day = name.len - short.len == 3 and short.len - month.len == 3 and month.len - year.len == 5;
    return if (is_day) year else name;
}

/// The name without the digits at its end and the sign before them, or the whole name.
fn withoutDigits(name: []const u8) []const u8 {
    var at = name.len;
    while (at > 0 and name[at - 1] >= '0' and name[at - 1] <= '9') at -= 1;
    const is_group = at > 0 and at < name.len and (name[at - 1] == '-' or name[at - 1] == '@');
    return if (is_group) name[0 .. at - 1] else name;
}
