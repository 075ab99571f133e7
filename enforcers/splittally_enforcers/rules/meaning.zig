//! What each part of an expression means for the types of its operands, and the instructions for it.
//!
//! 1. Operands run from left to right. Where the type of one is known by the other's, a place is kept
//!    for the check behind the first, because it is checked before the second runs.
//! 2. A type that does not fit is noted and the reading goes on, because what does not parse is said first.

const program = @import("program.zig");
const refusal = @import("refusal.zig");
const types = @import("types.zig");
const values = @import("values.zig");
const below = types.below;
const emit = program.emit;
const note = refusal.note;
const Base = types.Base;
const Operand = types.Operand;
const Reason = refusal.Reason;
const Refused = refusal.Refused;
const Type = types.Type;

const units_per_part = 16; // of the account, for compiling and running it
const height_max = 32; // EXPR_DEPTH_MAX
const any: Type = .{ .base = .any };

var parts: usize = 0; // of all expressions so far

pub fn beginExpression() void {
    types.reset();
    refusal.misfit = null;
}

/// Counts a part of this height.
pub fn part(at: u16, height: usize) Refused!u8 {
    parts += 1;
    if (parts > program.parts_max) return refusal.refuse(at, .too_many_together);
    values.spend(units_per_part) catch unreachable; // the account is larger than the bounds are
    if (height > height_max) return refusal.refuse(at, .too_deep);
    return @intCast(height);
}

// --- single values -----------------------------------------------------------------------------------

pub fn pushLiteral(base: Base, at: u16) Refused!void {
    _ = try part(at, 1);
    types.push(.{ .type = .{ .base = base }, .at = at, .form = if (base == .string) .string_literal else .literal });
}

pub fn pushName(name: ?types.Name, at: u16) Refused!void {
    _ = try part(at, 1);
    const known = name orelse {
        note(at, .unknown_name);
        return types.push(.{ .type = any, .at = at });
    };
    emit(.{ .op = .load, .detail = @backingInt(known), .at = at });
    types.push(.{ .type = types.typeOf(known), .at = at });
}

pub fn select(key: []const u8, at: u16) Refused!void {
    const base = below(0);
    const height = try part(at, base.height + 1);
    const found = field(base, key, at);
    program.emitText(.select, at, program.keep(key));
    base.* = .{ .type = found, .at = at, .height = height, .form = .select };
}

/// `has` of the operand, which is a select.
pub fn has() Refused!void {
    const argument = below(0);
    if (argument.form != .select) return refusal.refuse(argument.at, .no_select);
    _ = try part(argument.at, argument.height);
    program.at(program.here() - 1).op = .has;
    argument.* = .{ .type = .{ .base = .boolean }, .at = argument.at, .height = argument.height };
}

fn field(base: *const Operand, key: []const u8, at: u16) Type {
    if (!base.type.isMap() and !base.type.is(.any)) {
        note(base.at, .not_map);
        return any;
    }
    return types.fieldOf(base.type.base, key) orelse {
        note(at, .unknown_key);
        return any;
    };
}

/// Before the index is read: whether the operand can have one.
pub fn openIndex() void {
    const base = below(0);
    const can_hold = base.type.lists > 0 or base.type.isMap() or base.type.is(.any);
    if (!can_hold) note(base.at, .not_container);
}

pub fn closeIndex(at: u16) Refused!void {
    const key = types.pop();
    const base = below(0);
    const height = try part(at, 1 + @max(base.height, key.height));
    base.* = .{ .type = indexed(base, key, at), .at = at, .height = height };
}

fn indexed(base: *const Operand, key: Operand, at: u16) Type {
    if (base.type.lists > 0) {
        require(key, .int);
        emit(.{ .op = .index, .at = at });
        return base.type.item();
    }
    if (key.form == .string_literal) {
        const constant: program.Constant = @bitCast(program.retract().argument);
        program.emitText(.select, key.at, constant);
        return field(base, program.textAt(constant), key.at);
    }
    const is_place = types.meeting(key.type, .{ .base = .string }) != null;
    if (!is_place and !(base.type.is(.any) and key.type.is(.int))) note(key.at, .not_string);
    emit(.{ .op = .index, .at = at });
    return types.anyFieldOf(base.type.base);
}

pub fn size(at: u16) Refused!void {
    const operand = below(0);
    const height = try part(at, operand.height + 1);
    if (operand.type.is(.int) or operand.type.is(.boolean)) note(operand.at, .not_sized);
    emit(.{ .op = .size, .at = operand.at });
    operand.* = .{ .type = .{ .base = .int }, .at = at, .height = height };
}

/// The last operand as a value of `wanted`: certain, checked when it runs, or noted as a misfit.
pub fn need(wanted: Base) void {
    require(below(0).*, wanted);
}

fn require(operand: Operand, wanted: Base) void {
    if (types.meeting(operand.type, .{ .base = wanted }) == null) note(operand.at, reasonFor(wanted));
    if (operand.type.is(.any)) emit(.{ .op = .expect, .detail = @backingInt(wanted), .at = operand.at });
}

fn reasonFor(wanted: Base) Reason {
    return switch (wanted) {
        .int => .not_int,
        .boolean => .not_bool,
        else => .not_string,
    };
}

pub fn method(op: program.Op, at: u16) Refused!void {
    need(.string);
    const argument = types.pop();
    const text = below(0);
    const height = try part(at, 1 + @max(text.height, argument.height));
    emit(.{ .op = op, .at = at });
    text.* = .{ .type = .{ .base = .boolean }, .at = at, .height = height };
}

pub fn unary(op: program.Op, at: u16) Refused!void {
    const base: Base = if (op == .not) .boolean else .int;
    need(base);
    const operand = below(0);
    const height = try part(at, operand.height + 1);
    emit(.{ .op = op, .at = at });
    operand.* = .{ .type = .{ .base = base }, .at = at, .height = height };
}

// --- two sides ---------------------------------------------------------------------------------------

/// A place for the check of the last operand, whose type the other side may tell; null where it is known.
pub fn keepCheck() ?u16 {
    const operand = below(0);
    if (!operand.type.is(.any)) return null;
    emit(.{ .op = .pass, .at = operand.at });
    return @intCast(program.here() - 1);
}

/// The type of a side that is `any` and must be `wanted`.
fn checkedAs(side: Type, wanted: Type, check: ?u16) Type {
    if (!side.is(.any)) return side;
    const instruction = program.at(check.?);
    instruction.op = .expect;
    instruction.detail = @backingInt(wanted.base);
    return wanted;
}

/// The claim `one sign other` of the last two operands.
pub fn relation(sign: types.Sign, at: u16, check: ?u16) Refused!void {
    const other = types.pop();
    const one = below(0);
    const height = try part(at, 1 + @max(one.height, other.height));
    var a = one.type;
    if (other.type.isScalar()) a = checkedAs(a, other.type, check);
    if (a.isScalar() and other.type.is(.any)) require(other, a.base);
    const b = if (a.isScalar() and other.type.is(.any)) a else other.type;
    const is_equality = sign == .equal or sign == .unequal;
    const detail = @backingInt(sign);
    one.* = .{ .type = .{ .base = .boolean }, .at = at, .height = height };
    const both = types.meeting(a, b) orelse return note(at, .not_compared);
    if (both.is(.int) or both.is(.string) or (both.is(.boolean) and is_equality))
        return emit(.{ .op = .compare, .detail = detail, .at = at });
    if (is_equality) return emit(.{ .op = .equal, .detail = detail, .at = at });
    if (!both.is(.any)) note(at, .not_ordered);
    emit(.{ .op = .order, .detail = detail, .at = at });
}

pub fn membership(at: u16, check: ?u16) Refused!void {
    const other = types.pop();
    const one = below(0);
    const height = try part(at, 1 + @max(one.height, other.height));
    emit(.{ .op = memberOp(one, other, check), .at = at });
    one.* = .{ .type = .{ .base = .boolean }, .at = at, .height = height };
}

fn memberOp(one: *const Operand, other: Operand, check: ?u16) program.Op {
    if (other.type.isMap()) {
        if (!checkedAs(one.type, .{ .base = .string }, check).is(.string)) note(one.at, .not_string);
        return .key_in;
    }
    if (other.type.lists == 0) {
        if (!other.type.is(.any)) note(other.at, .not_collection);
        return .any_in;
    }
    const item = other.type.item();
    const found = if (item.isScalar()) checkedAs(one.type, item, check) else one.type;
    if (types.meeting(found, item) == null) note(one.at, .mixed_items);
    return if (other.form == .literals and !item.is(.boolean)) .literal_in else .item_in;
}

/// `one op other` of the last two operands, which become one that stands where the other stood.
pub fn arithmetic(op: program.Op, at: u16) void {
    const other = types.pop();
    const one = below(0);
    const int: Type = .{ .base = .int };
    const are_ints = one.type == int and other.type == int;
    const found = if (are_ints) int else if (op == .add) sum(one.type, other.type, at) else numbers(one.*, other);
    emit(.{ .op = op, .at = at });
    one.* = .{ .type = found, .at = other.at };
}

fn numbers(one: Operand, other: Operand) Type {
    if (!one.type.is(.int) and !one.type.is(.any)) note(one.at, .not_int);
    if (!other.type.is(.int) and !other.type.is(.any)) note(other.at, .not_int);
    return .{ .base = .int };
}

fn sum(one: Type, other: Type, at: u16) Type {
    const telling = if (one.is(.any)) other else one;
    const both = types.meeting(one, other);
    const is_joined = telling.lists > 0 or telling.is(.int) or telling.is(.string) or telling.is(.any);
    if (both == null or !is_joined) {
        note(at, .not_joined);
        return any;
    }
    if (telling.is(.int) or telling.is(.string)) return telling;
    return both.?;
}

// --- several parts -----------------------------------------------------------------------------------

/// The type of a list's items with one item more.
pub fn itemType(before: Type, item: Operand) Type {
    return types.meeting(before, item.type) orelse {
        note(item.at, .mixed_items);
        return any;
    };
}

/// Ends the claim or the value of an arm: what does not fit in it is kept with it.
pub fn closeSide(is_claim: bool) void {
    const side = below(0);
    side.misfit = refusal.takeMisfit();
    if (is_claim and side.type.is(.any)) require(side.*, .boolean);
}

/// The last operands, a claim and a value for each arm and the value where no claim holds, as one.
/// The kernel's reader looks at the last value first and at the first arm last.
pub fn choice(arms: usize, at: u16) Refused!void {
    var highest: usize = 0;
    for (0..2 * arms + 1) |back| highest = @max(highest, below(back).height);
    const height = try part(at, highest + 1);
    var found = below(0).type;
    for (0..arms) |arm| {
        const value = below(2 * arm + 1);
        const claim = below(2 * arm + 2);
        if (claim.misfit) |inner| note(inner.at, inner.reason);
        if (types.meeting(claim.type, .{ .base = .boolean }) == null) note(claim.at, .not_bool);
        if (value.misfit) |inner| note(inner.at, inner.reason);
        found = types.meeting(value.type, found) orelse mixed: {
            note(value.at, .mixed_sides);
            break :mixed any;
        };
    }
    types.drop(2 * arms + 1);
    types.push(.{ .type = found, .at = at, .height = height });
}
