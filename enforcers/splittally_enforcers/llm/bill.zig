//! A sum of counts times prices, exact in 128 bits and rounded up once.

const million = 1_000_000;

pub const Counted = struct { count: u64, price: u64 };

/// A cost in millionths of a minor unit.
pub const Bill = struct {
    total: u128 = 0,
    is_over: bool = false,

    pub fn add(bill: *Bill, count: u64, price: u64) void {
        if (count == 0 or price == 0) return;
        const sum = @addWithOverflow(bill.total, @as(u128, count) * price);
        bill.is_over = bill.is_over or sum[1] != 0;
        bill.total = sum[0];
    }

    /// A whole with its parts, the dearest first; the rest at the price of the whole.
    pub fn addSide(bill: *Bill, whole: u64, price: u64, parts: []const Counted) void {
        var left = whole;
        var is_counted: [4]bool = @splat(false);
        for (0..parts.len) |_| {
            var dearest: ?usize = null;
            for (parts, 0..) |part, i| {
                if (!is_counted[i] and (dearest == null or part.price > parts[dearest.?].price)) dearest = i;
            }
            is_counted[dearest.?] = true;
            const size = @min(parts[dearest.?].count, left);
            bill.add(size, parts[dearest.?].price);
            left -= size;
        }
        bill.add(left, price);
    }

    /// The whole call rounded up: with what is paid apart from tokens, in minor units, and the share `[num, den]` of it.
    pub fn close(bill: *Bill, call: u64, image: u64, pictures: u64, share: [2]u64) ?u64 {
        const each = @as(u128, image) * pictures;
        const apart = @addWithOverflow(each, @as(u128, call));
        const millionths = @mulWithOverflow(apart[0], @as(u128, million));
        const whole = @addWithOverflow(bill.total, millionths[0]);
        if (bill.is_over or apart[1] + millionths[1] + whole[1] > 0) return null;
        if (share[0] == share[1]) return narrow(ceil(whole[0], million));
        const part = @mulWithOverflow(whole[0], @as(u128, share[0]));
        if (part[1] != 0) return null;
        return narrow(ceil(ceil(part[0], million), share[1]));
    }
};

/// Long division, thirty-two bits at a time; the remainder, if any, is paid as one more. `by` is below 2^32.
fn ceil(value: u128, by: u64) u128 {
    var quotient: u128 = 0;
    var remainder: u64 = 0;
    inline for (.{ 96, 64, 32, 0 }) |shift| {
        const part = remainder << 32 | @as(u32, @truncate(value >> shift));
        quotient = quotient << 32 | part / by;
        remainder = part % by;
    }
    return quotient + @intFromBool(remainder > 0);
}

fn narrow(value: u128) ?u64 {
    return if (value >> 64 == 0) @truncate(value) else null;
}
