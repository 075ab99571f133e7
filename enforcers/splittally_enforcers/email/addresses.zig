//! Mail addresses as `local@domain`, read as a subset of RFC 5321 that every mail program reads in one way.
//!
//! 1. The local part is of letters, digits, `_ + - = & ' ~` and single dots inside, not more than 64 bytes. It does
//!    not begin with `-`. Quotes, comments, groups, names before `<`, `%` and `!` routes are refused.
//! 2. The domain is of labels of letters, digits and `-`; other alphabets are written as A-labels (`xn--…`).
//!    Its last label is not a number; literals in brackets and a trailing dot are refused.
//! 3. Domains are compared without regard to case, local parts byte for byte (RFC 5321 section 2.4).

const sdk = @import("splittally");
const sets = sdk.sets;

const local_bytes_max = 64;
const domain_bytes_max = 253;
const address_bytes_max = 254; // RFC 5321 section 4.5.3.1.3, without the brackets
const label_bytes_max = 63;
const labels_max = 16;
pub const listed_max = 256; // of each list

pub const Malformed = error{Malformed};

/// An address with its domain in lower case, and where its `@` stands. It holds until the next is read.
pub const Address = struct { text: []const u8, at_sign: usize };

var folded: [address_bytes_max]u8 = @splat(0);

pub noinline fn parse(written: []const u8) Malformed!Address {
    if (written.len > address_bytes_max) return error.Malformed;
    const at_sign = try localSize(written);
    const domain = written[at_sign + 1 ..];
    if (!isDomain(domain)) return error.Malformed;
    @memcpy(folded[0..written.len], written);
    for (folded[at_sign + 1 .. written.len]) |*byte| byte.* = toLower(byte.*);
    return .{ .text = folded[0..written.len], .at_sign = at_sign };
}

/// Whether it is an address with its domain in lower case.
pub fn isPlain(written: []const u8) bool {
    const address = parse(written) catch return false;
    return sdk.equal(address.text, written);
}

/// The bytes before the `@`.
fn localSize(written: []const u8) Malformed!usize {
    var last: u8 = '.';
    for (written, 0..) |byte, at| {
        if (byte == '@') return if (at == 0 or at > local_bytes_max or last == '.') error.Malformed else at;
        const is_fit = if (byte == '.') last != '.' else local_bytes[byte] and (at > 0 or byte != '-');
        if (!is_fit) return error.Malformed;
        last = byte;
    }
    return error.Malformed;
}

const local_bytes: [256]bool = fill: {
    var table: [256]bool = @splat(false);
    for ("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-=&'~") |byte| table[byte] = true;
    break :fill table;
};

/// At most 16 labels of 1 to 63 letters, digits and inner hyphens; a last label of digits could be an IPv4 address.
fn isDomain(domain: []const u8) bool {
    if (domain.len > domain_bytes_max) return false;
    var start: usize = 0;
    var digits: usize = 0;
    var labels: usize = 1;
    for (domain, 0..) |byte, at| {
        if (byte == '.') {
            if (!endsLabel(domain, start, at)) return false;
            start = at + 1;
            digits = 0;
            labels += 1;
            continue;
        }
        const is_digit = byte >= '0' and byte <= '9';
        const is_letter = byte | 0x20 >= 'a' and byte | 0x20 <= 'z';
        if (!is_letter and !is_digit and (byte != '-' or at == start)) return false;
        digits += @intFromBool(is_digit);
    }
    return labels <= labels_max and endsLabel(domain, start, domain.len) and digits < domain.len - start;
}

fn endsLabel(domain: []const u8, start: usize, end: usize) bool {
    return end > start and end - start <= label_bytes_max and domain[end - 1] != '-';
}

fn toLower(byte: u8) u8 {
    return if (byte >= 'A' and byte <= 'Z') byte + 32 else byte;
}

// --- what a grant lists ------------------------------------------------------------------------------

/// Addresses, domains, and `*.` domains without their star, in one set. Texts are hashed from their end, so that
/// an address is looked for with everything that could list it in one walk.
pub const Listed = struct {
    set: sets.Set(2 * listed_max) = .{},

    pub fn isEmpty(listed: *const Listed) bool {
        return listed.set.count == 0;
    }

    /// False when it is no address with its domain in lower case, or one too many.
    pub fn addAddress(listed: *Listed, address: []const u8) bool {
        return isPlain(address) and listed.set.add(hashOf(address), address);
    }

    /// A domain in lower case, or `*.` and one for its subdomains only.
    pub fn addDomain(listed: *Listed, pattern: []const u8) bool {
        const is_wide = sdk.startsWith(pattern, "*.");
        const domain = if (is_wide) pattern[2..] else pattern;
        for (domain) |byte| if (toLower(byte) != byte) return false;
        const text = if (is_wide) pattern[1..] else pattern;
        return isDomain(domain) and listed.set.add(hashOf(text), text);
    }

    pub noinline fn covers(listed: *const Listed, address: Address) bool {
        const text = address.text;
        var hash = sets.seed;
        var at = text.len;
        while (at > 0) {
            at -= 1;
            hash = sets.mix(hash, text[at]);
            const could_be_listed = at == 0 or at == address.at_sign + 1 or (at > address.at_sign and text[at] == '.');
            if (could_be_listed and listed.set.has(hash, text[at..])) return true;
        }
        return false;
    }
};

fn hashOf(text: []const u8) u32 {
    var hash = sets.seed;
    var at = text.len;
    while (at > 0) {
        at -= 1;
        hash = sets.mix(hash, text[at]);
    }
    return hash;
}
