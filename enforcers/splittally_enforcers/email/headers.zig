//! Texts that become lines of a mail's head: none may begin a line of its own, none may name who else gets the mail.

const sdk = @import("splittally");

/// Headers that name recipients or senders, or that the params state in a field of their own.
const reserved = [_][]const u8{
    "to",          "cc",           "bcc",          "from",                      "sender", "subject",
    "return-path", "content-type", "mime-version", "content-transfer-encoding",
};

const headers_max = 256;
const name_bytes_max = 76;
var folded: [name_bytes_max]u8 = @splat(0);

pub fn checkAll(subject: ?[]const u8, stated: ?sdk.Item, answer: *sdk.Answer) sdk.Refused!void {
    if (!isLine(subject orelse "")) return refuseLine("subject", answer);
    const expected = "a map from at most 256 names to texts";
    const field: sdk.lists.Field = .{ .source = .params, .name = "headers", .most = headers_max, .expected = expected };
    var rest = try sdk.lists.map(stated, &field, answer);
    while (rest.next()) |header| {
        const value = header.value.text() orelse return answer.misfitParams("headers", expected);
        const name = fold(header.key) orelse return refuseLine(header.key, answer);
        if (!isLine(value)) return refuseLine(header.key, answer);
        if (isReserved(name)) return answer.refuse("header_not_allowed", .{
            "header ", sdk.quote(header.key), " would name a recipient or a sender or change how the mail is read; leave it out",
        });
    }
}

noinline fn refuseLine(name: []const u8, answer: *sdk.Answer) sdk.Refused {
    return answer.refuse("header_injection", .{
        "header ",                                                                                       sdk.quote(name),
        " must have a name of letters, digits and `-` and a value of one line; take controls out of it",
    });
}

/// Whether no control stands in it: CR and LF end a line, NUL a text, and so do U+0085, U+2028 and U+2029 for some.
fn isLine(text: []const u8) bool {
    for (text, 0..) |byte, at| {
        if ((byte < 0x20 and byte != '\t') or byte == 0x7F) return false;
        if (byte != 0xC2 and byte != 0xE2) continue;
        const rest = text[at..];
        const is_control = byte == 0xC2 and rest.len > 1 and rest[1] < 0xA0;
        if (is_control or sdk.startsWith(rest, "\u{2028}") or sdk.startsWith(rest, "\u{2029}")) return false;
    }
    return true;
}

/// The name in lower case; null when it is none.
fn fold(name: []const u8) ?[]const u8 {
    if (name.len == 0 or name.len > folded.len) return null;
    for (name, 0..) |byte, at| {
        const is_upper = byte >= 'A' and byte <= 'Z';
        const is_plain = (byte >= 'a' and byte <= 'z') or (byte >= '0' and byte <= '9') or byte == '-';
        if (!is_upper and !is_plain) return null;
        folded[at] = if (is_upper) byte + 32 else byte;
    }
    return folded[0..name.len];
}

/// `resent-…` names recipients too, and so does what ends in `-to`, but for `in-reply-to`, which names a mail.
fn isReserved(name: []const u8) bool {
    if (sdk.startsWith(name, "resent-")) return true;
    if (sdk.endsWith(name, "-to")) return !sdk.same(name, "in-reply-to");
    return sdk.isAmong(name, &reserved);
}
