//! Lists and maps of at most a stated size, read from a field of type `?sdk.Item`: a longer one is refused before
//! anybody walks it, so that no input, however it is filled, runs out of fuel there.

const std = @import("std");
const answers = @import("answer.zig");
const cbor = @import("cbor.zig");
const Answer = answers.Answer;
const Refused = answers.Refused;

/// Where a list stands and what it must be, for the message when it is not.
pub const Field = struct {
    source: answers.Source = .cap_params,
    path: []const u8 = "",
    name: []const u8,
    most: u64,
    bytes_most: usize = std.math.maxInt(usize), // for what is walked more often than once
    expected: []const u8,

    fn misfit(field: *const Field, answer: *Answer) Refused {
        return answer.misfit(field.source, field.path, field.name, field.expected);
    }

    fn isTooLong(field: *const Field, item: cbor.Item) bool {
        const length = item.length() orelse return true;
        return length > field.most or item.bytes.len > field.bytes_most;
    }
};

pub noinline fn texts(found: ?cbor.Item, field: *const Field, answer: *Answer) Refused!cbor.Texts {
    const item = found orelse return .none;
    if (field.isTooLong(item)) return field.misfit(answer);
    return item.texts() orelse field.misfit(answer);
}

pub noinline fn items(found: ?cbor.Item, field: *const Field, answer: *Answer) Refused!cbor.Items {
    const item = found orelse return .none;
    if (field.isTooLong(item)) return field.misfit(answer);
    return item.items() orelse field.misfit(answer);
}

pub noinline fn map(found: ?cbor.Item, field: *const Field, answer: *Answer) Refused!cbor.Map {
    const item = found orelse return .none;
    if (field.isTooLong(item)) return field.misfit(answer);
    return item.map() orelse field.misfit(answer);
}
