//! The arguments of a call, indexed once, because many rules may ask for the same one.

const sdk = @import("splittally");

pub const arguments_max = 256;

pub const Argument = struct {
    name: []const u8,
    value: sdk.Item,
    is_path: bool, // a text that is an absolute path without dot segments
};

var indexed: [arguments_max]Argument = undefined;
pub var count: usize = 0;

/// Judges and indexes the arguments in one pass, for they may be long; malformed where they are no map of so many.
pub fn index(arguments: ?sdk.Item) error{Malformed}!void {
    const item = arguments orelse return;
    var rest: sdk.Reader = .{ .bytes = item.bytes };
    const found = try rest.count(.map);
    if (found > arguments_max) return error.Malformed;
    var keys: sdk.Keys = .{};
    while (count < found) : (count += 1) {
        const name = try keys.next(&rest);
        const value = try rest.item();
        const text = value.text();
        const is_path = if (text) |path| sdk.paths.isPrefix(path) else false;
        indexed[count] = .{ .name = name, .value = value, .is_path = is_path };
    }
}

/// The names stand in canonical order, so half of them are left aside at each step.
pub noinline fn find(name: []const u8) ?*const Argument {
    var low: usize = 0;
    var high = count;
    while (low < high) {
        const middle = (low + high) / 2;
        switch (sdk.order(indexed[middle].name, name)) {
            .same => return &indexed[middle],
            .before => low = middle + 1,
            .after => high = middle,
        }
    }
    return null;
}

/// The first argument that the map does not name.
pub fn unnamed(names: sdk.Map) ?[]const u8 {
    var rest = names;
    for (indexed[0..count]) |*argument| {
        const is_named = while (rest.next()) |entry| {
            if (sdk.order(entry.key, argument.name) != .before) break sdk.equal(entry.key, argument.name);
        } else false;
        if (!is_named) return argument.name;
    }
    return null;
}
