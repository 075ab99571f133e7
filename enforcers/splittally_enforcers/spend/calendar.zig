//! The month in which a time lies, and the months of a season: the proleptic Gregorian calendar in integers.

const sdk = @import("splittally");

pub const Month = u4; // 1 is January

/// The months of a season, a bit each.
pub const Months = struct {
    bits: u16,

    pub fn has(months: Months, month: Month) bool {
        return months.bits >> month & 1 == 1;
    }
};

const second_ns = 1_000_000_000;
const days_to_1970 = 719_468; // from 0000-03-01, so that a leap day ends its year

/// The month at `now_ns` since 1970, where clocks are `offset_minutes` before UTC.
pub fn monthAt(now_ns: u64, offset_minutes: i64) Month {
    const local_seconds = @as(i64, @intCast(now_ns / second_ns)) + 60 * offset_minutes;
    const days: u64 = @intCast(@divFloor(local_seconds, 86_400) + days_to_1970);
    const day_of_era = days % 146_097;
    const year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    const day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const shifted = (5 * day_of_year + 2) / 153;
    return @intCast(if (shifted < 10) shifted + 3 else shifted - 9);
}

/// The months that an item lists, or null when it is no list of at least one month from 1 to 12.
pub fn monthsIn(item: sdk.Item) ?Months {
    const listed = item.naturals() orelse return null;
    var months: Months = .{ .bits = 0 };
    var rest = listed.items;
    while (rest.next()) |each| {
        const month = each.natural().?;
        if (month < 1 or month > 12) return null;
        months.bits |= @as(u16, 1) << @intCast(month);
    }
    return if (months.bits == 0) null else months;
}

var text: [37]u8 = @splat(0); // twelve months, three of them with two digits, and eleven commas with spaces

/// The months in order, as `3, 4, 5`; the text stands until the next call.
pub fn name(months: Months) []const u8 {
    var size: usize = 0;
    for (1..13) |month| {
        if (!months.has(@intCast(month))) continue;
        if (size > 0) {
            text[size..][0..2].* = ", ".*;
            size += 2;
        }
        if (month > 9) {
            text[size] = '1';
            size += 1;
        }
        text[size] = '0' + @as(u8, @intCast(month % 10));
        size += 1;
    }
    return text[0..size];
}
