//! Runs the code of one expression: a stack of values, and the faults of spec/expressions.md.
//!
//! 1. Code is one list of items: an opcode, a character, and for some opcodes an operand. What is passed over
//!    lies ahead, so each instruction runs at most once.
//! 2. A value is used only as the type it has; a fault ends the run and names a character.
//! 3. Nothing is trusted: a read beyond the code, an opcode that is none, a stack that is too low or too high,
//!    a value that cannot be where it is, are all `Unsound`.

const arithmetic = @import("arithmetic.zig");
const equality = @import("equality.zig");
const names = @import("names.zig");
const room = @import("room.zig");
const sdk = @import("splittally");
const values = @import("values.zig");
const Tag = values.Tag;
const Value = values.Value;

pub const Fault = values.Fault || error{Unsound};

const steps_max = 10_000; // EXPR_STEPS_MAX
const characters_per_step = 64;
const units_per_instruction = 12; // of the account
const height_max = 501; // a list of as many items as a grant may have parts, and one more

/// In the order of the kernel's `OPCODES`. From `add` on they take two values, `compare` apart.
pub const Op = enum(u8) {
    push,
    load,
    key,
    has,
    index,
    size,
    need,
    not,
    negate,
    both,
    either,
    otherwise,
    skip,
    same,
    equal,
    less,
    more,
    in,
    among,
    starts_with,
    ends_with,
    contains,
    add,
    subtract,
    multiply,
    divide,
    remainder,
    list,
};
const op_count = @typeInfo(Op).@"enum".field_names.len;

/// The character, counted from 0, at which the last fault arose.
pub var fault_at: u16 = 0;

var stack: [height_max]Value = undefined;
var height: usize = 0;
var steps: u32 = 0;

/// What is left of the code, and how many items that are.
var at: [*]const u8 = undefined;
var end: [*]const u8 = undefined;
var items_left: u32 = 0;

/// The value of this code, which is of the wanted type.
pub fn run(program: *const Value, wanted: Tag) Fault!Value {
    if (program.tag != .alien or program.len == 0) return error.Unsound;
    at = program.bytes();
    end = at + program.len;
    items_left = 1;
    const list = try next();
    if (list.tag != .list) return error.Unsound;
    items_left = list.len;
    height = 0;
    steps = steps_max;
    room.empty();
    while (items_left > 0) {
        try values.spend(units_per_instruction);
        const op = try natural();
        const character = try natural();
        if (op >= op_count) return error.Unsound;
        fault_at = @intCast(character);
        try perform(@fromBackingInt(@intCast(op)));
    }
    if (at != end or height != 1 or stack[0].tag != wanted) return error.Unsound;
    return stack[0];
}

fn perform(op: Op) Fault!void {
    switch (op) {
        .push => try push(try literal()),
        .load => try push(names.load(try natural()) orelse return error.Unsound),
        .skip => try passOver(try natural()),
        .both, .either => {
            const further = try natural();
            if ((try claim()).bits == @intFromBool(op == .either)) try passOver(further) else height -= 1;
        },
        .otherwise => {
            const further = try natural();
            const is_so = (try claim()).bits == 1;
            height -= 1;
            if (!is_so) try passOver(further);
        },
        .list => {
            const count = try natural();
            if (count > height) return error.Unsound;
            height -= count;
            try push(try room.list(stack[height..][0..count]));
        },
        .key, .has, .need, .size, .not, .negate => try apply(op, try top()),
        else => {
            if (height < 2) return error.Unsound;
            height -= 1;
            try combine(op, &stack[height - 1], &stack[height]);
        },
    }
}

// --- the code ----------------------------------------------------------------------------------------

fn bytesLeft() usize {
    return @intFromPtr(end) - @intFromPtr(at);
}

/// The next item; of a list what is inside is still to be passed over.
fn next() Fault!Value {
    if (items_left == 0 or at == end) return error.Unsound;
    items_left -= 1;
    const found = values.read(at);
    if (@intFromPtr(found.next) -% @intFromPtr(at) > bytesLeft()) return error.Unsound;
    at = found.next;
    return found.value;
}

/// One of a single byte is read in place, because nearly all are.
inline fn natural() Fault!u32 {
    if (items_left == 0 or at == end) return error.Unsound;
    items_left -%= 1;
    const first = at[0];
    at += 1;
    if (first < 24) return first;
    const long = longNatural(first);
    return if (long == none) error.Unsound else long;
}

const none = ~@as(u32, 0); // no opcode, character or operand is larger than two bytes

noinline fn longNatural(first: u8) u32 {
    const size = first -% 23; // what follows the head, a byte or two
    if (size > 2 or size > bytesLeft()) return none;
    defer at += size;
    return if (size == 1) at[0] else @as(u32, at[0]) << 8 | at[1];
}

fn text() Fault![]const u8 {
    const found = try next();
    return if (found.tag == .text) found.text() else error.Unsound;
}

/// A natural, a bool, a text or a list that stands in the code.
fn literal() Fault!Value {
    const start = at;
    const first = start[0];
    if (at != end and items_left > 0 and (first < 24 or first >> 1 == 0xF4 >> 1)) {
        items_left -%= 1;
        at += 1;
        return if (first < 24) values.natural(first) else values.boolean(first == 0xF5);
    }
    const found = try next();
    if (found.tag == .map) return error.Unsound;
    if (found.tag == .list) {
        at = start;
        try pass();
    }
    return found;
}

/// Goes on behind so many items; the last of them are not looked at.
fn passOver(items: u32) Fault!void {
    if (items > items_left) return error.Unsound;
    items_left -= items;
    if (items_left == 0) {
        at = end;
        return;
    }
    try values.spend(3 * items);
    for (0..items) |_| {
        const size: usize = if (at[0] < 24) 1 else at[0] -% 22; // that of a natural of up to three bytes
        if (size < 4 and size <= bytesLeft()) at += size else try pass();
    }
}

/// Goes behind one value, whose bytes nobody has checked.
fn pass() Fault!void {
    var rest = sdk.Items.none.rest;
    rest.bytes = at[0..bytesLeft()];
    rest.skip() catch return error.Unsound;
    at += rest.at;
}

// --- the stack ---------------------------------------------------------------------------------------

fn push(value: Value) Fault!void {
    if (height == height_max) return error.Unsound;
    stack[height] = value;
    height += 1;
}

fn top() Fault!*Value {
    if (height == 0) return error.Unsound;
    return &stack[height - 1];
}

/// The last value, which the kernel has found to be a bool or checked before.
fn claim() Fault!*Value {
    const value = try top();
    return if (value.tag == .boolean) value else error.Unsound;
}

fn spend(units: usize) Fault!void {
    if (units > steps) return error.TooManySteps;
    steps -= @intCast(units);
}

// --- one value ---------------------------------------------------------------------------------------

fn apply(op: Op, value: *Value) Fault!void {
    switch (op) {
        .key => {
            const key = try text();
            try expect(value, .map);
            value.* = try values.find(value, key) orelse return error.MissingKey;
        },
        .has => {
            const key = try text();
            try expect(value, .map);
            value.* = values.boolean(try values.find(value, key) != null);
        },
        .need => switch (try natural()) {
            0 => try expect(value, .int),
            1 => try expect(value, .boolean),
            2 => try expect(value, .text),
            3 => if (!value.isList()) return error.WrongType,
            4 => try expect(value, .map),
            else => return error.Unsound,
        },
        .size => value.* = values.natural(switch (value.tag) {
            .text => try values.characters(value),
            .list, .made, .map => value.len,
            else => return error.WrongType,
        }),
        .not => value.* = values.boolean((try claim()).bits == 0),
        else => {
            try expect(value, .int);
            try arithmetic.negate(value);
        },
    }
}

fn expect(value: *const Value, wanted: Tag) Fault!void {
    if (value.tag != wanted) return error.WrongType;
}

// --- two values --------------------------------------------------------------------------------------

/// What two values give, in place of `one`.
fn combine(op: Op, one: *Value, other: *const Value) Fault!void {
    switch (op) {
        .index => return index(one, other),
        .add => return add(one, other),
        .subtract, .multiply, .divide, .remainder => {
            try expect(one, .int);
            try expect(other, .int);
            return arithmetic.apply(op, one, other);
        },
        else => {},
    }
    one.* = values.boolean(switch (op) {
        .same => try isSame(one, other),
        .equal => try equality.equal(one, other, &steps),
        .less => try isBefore(one, other),
        .more => try isBefore(other, one),
        .in => try isIn(one, other),
        .among => try isAmong(one, other),
        else => try holds(op, one, other),
    });
}

fn add(one: *Value, other: *const Value) Fault!void {
    if (one.tag == .int and other.tag == .int) return arithmetic.apply(.add, one, other);
    if (one.tag == .text and other.tag == .text) {
        try spend((try values.characters(one) + try values.characters(other)) / characters_per_step);
        return room.joinTexts(one, other);
    }
    if (!one.isList() or !other.isList()) return error.WrongType;
    try spend(one.len + other.len);
    return room.joinLists(one, other);
}

fn index(container: *Value, key: *const Value) Fault!void {
    if (container.isList() and key.tag == .int) {
        container.* = try values.itemAt(container, key);
        return;
    }
    try expect(container, .map);
    try expect(key, .text);
    container.* = try values.find(container, key.text()) orelse return error.MissingKey;
}

fn holds(op: Op, whole: *const Value, part: *const Value) Fault!bool {
    try expect(whole, .text);
    try expect(part, .text);
    if (op == .contains) {
        try spend((try values.characters(whole) + try values.characters(part)) / characters_per_step);
        return values.contains(whole.text(), part.text());
    }
    if (part.len > whole.len) return false;
    const start = if (op == .starts_with) 0 else whole.len - part.len;
    return values.isSame(whole.text()[start..][0..part.len], part.text());
}

/// Of two values that are known to be ints, texts or bools.
fn isSame(one: *const Value, other: *const Value) Fault!bool {
    if (one.tag != other.tag) return error.Unsound;
    return switch (one.tag) {
        .text => values.isSame(one.text(), other.text()),
        .int, .boolean => one.bits == other.bits and one.is_negative == other.is_negative,
        else => error.Unsound,
    };
}

fn isBefore(one: *const Value, other: *const Value) Fault!bool {
    if (one.tag != other.tag) return error.WrongType;
    return switch (one.tag) {
        .text => values.isBefore(one.text(), other.text()),
        .int => arithmetic.isBefore(one, other),
        else => error.WrongType,
    };
}

/// The items are literals of the same type as `item`: nothing can fault and no step is taken.
fn isAmong(item: *const Value, list: *const Value) Fault!bool {
    if (list.tag != .list) return error.Unsound;
    var rest = values.itemsOf(list);
    while (try rest.next()) |other| if (try isSame(item, &other)) return true;
    return false;
}

fn isIn(item: *const Value, container: *const Value) Fault!bool {
    if (!container.isList()) {
        try expect(container, .map);
        try expect(item, .text);
        return try values.find(container, item.text()) != null;
    }
    var rest = values.itemsOf(container);
    while (try rest.next()) |other| if (try equality.equal(item, &other, &steps)) return true;
    return false;
}
