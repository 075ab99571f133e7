//! Runs a program: a stack of values, and the faults of spec/expressions.md.
//!
//! 1. Instructions only go forward, so each runs at most once.
//! 2. A value is used only as the type it has; a fault ends the run and names a character.

const arithmetic = @import("arithmetic.zig");
const equality = @import("equality.zig");
const program = @import("program.zig");
const room = @import("room.zig");
const types = @import("types.zig");
const values = @import("values.zig");
const Fault = values.Fault;
const Instruction = program.Instruction;
const Value = values.Value;

const steps_max = 10_000; // EXPR_STEPS_MAX
const characters_per_step = 64;

/// What a rule may name; the caller fills it.
pub var named: [@typeInfo(types.Name).@"enum".field_names.len]Value = undefined;

/// The character, counted from 0, at which the last fault arose.
pub var fault_at: u16 = 0;

var stack: [program.parts_max + 1]Value = undefined;
var height: usize = 0;
var steps: u32 = 0;

/// The value of the program that begins at `start`.
pub fn run(start: usize) Fault!Value {
    height = 0;
    steps = steps_max;
    room.empty();
    var place = start;
    while (true) {
        const instruction = program.at(place);
        place += 1;
        fault_at = instruction.at;
        switch (instruction.op) {
            .done => return pop(),
            .pass => {},
            .natural => push(values.natural(instruction.argument)),
            .wide => push(values.natural(program.wideAt(@bitCast(instruction.argument)))),
            .boolean => push(values.boolean(instruction.argument == 1)),
            .text => push(values.textOf(constant(instruction))),
            .load => push(named[instruction.detail]),
            .list => {
                const count = instruction.argument;
                height -= count;
                push(try room.list(stack[height..][0..count]));
            },
            .jump => place = instruction.argument,
            .else_to => if (pop().bits == 0) {
                place = instruction.argument;
            },
            .and_to, .or_to => {
                const ends: u64 = @intFromBool(instruction.op == .or_to);
                if (top().bits == ends) place = instruction.argument else height -= 1;
            },
            else => |op| {
                if (op.joinsTwo()) {
                    height -= 1;
                    try combine(instruction, top(), &stack[height]);
                } else try apply(instruction, top());
            },
        }
    }
}

/// Where the program behind the one at `start` begins.
pub fn behind(start: usize) usize {
    var place = start;
    while (program.at(place).op != .done) place += 1;
    return place + 1;
}

fn push(value: Value) void {
    stack[height] = value;
    height += 1;
}

fn pop() Value {
    height -= 1;
    return stack[height];
}

fn top() *Value {
    return &stack[height - 1];
}

fn constant(instruction: *const Instruction) []const u8 {
    return program.textAt(@bitCast(instruction.argument));
}

fn spend(units: usize) Fault!void {
    if (units > steps) return error.TooManySteps;
    steps -= @intCast(units);
}

noinline fn apply(instruction: *const Instruction, value: *Value) Fault!void {
    switch (instruction.op) {
        .expect => try expect(value, @fromBackingInt(@intCast(instruction.detail))),
        .select => {
            try expectMap(value);
            value.* = try values.find(value, constant(instruction)) orelse return error.MissingKey;
        },
        .has => {
            try expectMap(value);
            value.* = values.boolean(try values.find(value, constant(instruction)) != null);
        },
        .size => value.* = values.natural(try sizeOf(value)),
        .not => value.* = values.boolean(value.bits == 0),
        .negate => try arithmetic.negate(value),
        else => unreachable,
    }
}

/// `one op other`, in place of `one`.
noinline fn combine(instruction: *const Instruction, one: *Value, other: *const Value) Fault!void {
    const op = instruction.op;
    switch (op) {
        .add => return add(one, other),
        .subtract, .multiply, .divide, .remainder => {
            try expect(one, .int);
            try expect(other, .int);
            return arithmetic.apply(op, one, other);
        },
        .index => return index(one, other),
        else => {},
    }
    const sign = instruction.detail;
    one.* = values.boolean(switch (op) {
        .starts_with, .ends_with, .contains => try holds(op, one, other),
        .compare => try compared(sign, one, other),
        .order => try ordered(sign, one, other),
        .equal => try equality.equal(one, other, &steps) == (sign == 0),
        .key_in => try values.find(other, one.text()) != null,
        .item_in => try isItem(one, other),
        .literal_in => try isLiteral(one, other),
        .any_in => try isIn(one, other),
        else => unreachable,
    });
}

// --- types -------------------------------------------------------------------------------------------

fn expect(value: *const Value, wanted: types.Base) Fault!void {
    const tag: values.Tag = switch (wanted) {
        .int => .int,
        .boolean => .boolean,
        else => .text,
    };
    if (value.tag != tag) return error.WrongType;
}

fn expectMap(value: *const Value) Fault!void {
    if (value.tag != .map) return error.WrongType;
}

fn sizeOf(value: *const Value) Fault!u32 {
    return switch (value.tag) {
        .text => values.characters(value),
        .list, .made, .map => value.len,
        else => error.WrongType,
    };
}

// --- two sides ---------------------------------------------------------------------------------------

fn add(one: *Value, other: *const Value) Fault!void {
    if (one.tag == .int) {
        try expect(other, .int);
        return arithmetic.apply(.add, one, other);
    }
    if (one.tag == .text) {
        try expect(other, .string);
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
    try expectMap(container);
    try expect(key, .string);
    container.* = try values.find(container, key.text()) orelse return error.MissingKey;
}

fn holds(op: program.Op, text: *const Value, part: *const Value) Fault!bool {
    const whole = text.text();
    const size = part.len;
    if (op != .contains) {
        if (size > whole.len) return false;
        const start = if (op == .starts_with) 0 else whole.len - size;
        return values.isSame(whole[start..][0..size], part.text());
    }
    try spend((try values.characters(text) + try values.characters(part)) / characters_per_step);
    return values.contains(whole, part.text());
}

/// `one sign other` of two ints, two texts, or of two bools where the sign is `==` or `!=`.
fn compared(sign: u8, one: *const Value, other: *const Value) Fault!bool {
    const wanted: types.Sign = @fromBackingInt(@intCast(sign));
    return switch (wanted) {
        .equal => try isSame(one, other),
        .unequal => !try isSame(one, other),
        .less => try isBefore(one, other),
        .at_least => !try isBefore(one, other),
        .more => try isBefore(other, one),
        .at_most => !try isBefore(other, one),
    };
}

fn isSame(one: *const Value, other: *const Value) Fault!bool {
    if (one.tag == .text) return values.isSame(one.text(), other.text());
    return one.bits == other.bits and one.is_negative == other.is_negative;
}

fn isBefore(one: *const Value, other: *const Value) Fault!bool {
    if (one.tag == .text) return values.isBefore(one.text(), other.text());
    return arithmetic.isBefore(one, other);
}

fn ordered(sign: u8, one: *const Value, other: *const Value) Fault!bool {
    if (one.tag != .int and one.tag != .text) return error.WrongType;
    if (one.tag != other.tag) return error.WrongType;
    return compared(sign, one, other);
}

fn isItem(item: *const Value, list: *const Value) Fault!bool {
    var rest = values.itemsOf(list);
    while (try rest.next()) |other| if (try equality.equal(item, &other, &steps)) return true;
    return false;
}

/// The items are literals, of the same type as `item`: nothing can fault and no step is taken.
fn isLiteral(item: *const Value, list: *const Value) Fault!bool {
    for (list.made()) |*other| if (try isSame(item, other)) return true;
    return false;
}

fn isIn(item: *const Value, container: *const Value) Fault!bool {
    if (container.isList()) return isItem(item, container);
    try expectMap(container);
    try expect(item, .string);
    return try values.find(container, item.text()) != null;
}
