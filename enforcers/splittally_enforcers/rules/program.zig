//! What expressions are compiled to: instructions for a stack of values, and their constants.
//!
//! 1. The programs of a grant stand one behind the other, each ended by `done`.
//! 2. The bounds on texts and parts bound both arrays: a part makes at most three instructions of its own
//!    and has at most one natural that takes eight bytes.

pub const texts_bytes_max = 4096; // of all texts together; compiling them takes most of the fuel
pub const parts_max = 500; // of all texts together
pub const frames_max = 32 + 2; // EXPR_DEPTH_MAX brackets, the whole around them and an empty list within
pub const naturals_max = 128; // dimensions of the reserve and of the usage

/// What is done: with no value or a number of them, from `expect` on with the last, from `index` on with two.
pub const Op = enum(u8) {
    done,
    pass,
    natural,
    wide,
    boolean,
    text,
    load,
    list,
    jump,
    else_to,
    and_to,
    or_to,
    expect,
    select,
    has,
    size,
    not,
    negate,
    index,
    starts_with,
    ends_with,
    contains,
    add,
    subtract,
    multiply,
    divide,
    remainder,
    compare,
    order,
    equal,
    key_in,
    item_in,
    literal_in,
    any_in,

    pub fn joinsTwo(op: Op) bool {
        return @backingInt(op) >= @backingInt(Op.index);
    }
};

/// `at` is the character, counted from 0, that a fault of this instruction names.
pub const Instruction = extern struct { op: Op, detail: u8 = 0, at: u16, argument: u32 = 0 };

/// A text among the constants.
pub const Constant = packed struct(u32) { start: u16, len: u16 };

var instructions: [4 * parts_max + 64]Instruction = undefined;
var constants: [texts_bytes_max + 8 * naturals_max]u8 = undefined;
var size: usize = 0;
var written: usize = 0;

/// Where the next instruction will stand.
pub fn here() usize {
    return size;
}

pub fn at(place: usize) *Instruction {
    return &instructions[place];
}

pub fn emit(instruction: Instruction) void {
    instructions[size] = instruction;
    size += 1;
}

/// Takes the last instruction back.
pub fn retract() Instruction {
    size -= 1;
    return instructions[size];
}

// --- jumps -------------------------------------------------------------------------------------------

/// Jumps to one place that is not known yet, each naming the one before it.
pub const Jumps = struct {
    last: u32 = none,
    const none = ~@as(u32, 0);

    pub fn emitFrom(jumps: *Jumps, op: Op, character: u16) void {
        emit(.{ .op = op, .at = character, .argument = jumps.last });
        jumps.last = @intCast(size - 1);
    }

    /// All of them lead to the next instruction.
    pub fn land(jumps: Jumps) void {
        var place = jumps.last;
        while (place != none) {
            const before = instructions[place].argument;
            instructions[place].argument = @intCast(size);
            place = before;
        }
    }
};

// --- constants ---------------------------------------------------------------------------------------

pub fn begin() usize {
    return written;
}

pub fn write(byte: u8) void {
    constants[written] = byte;
    written += 1;
}

/// The text that was written since `start`.
pub fn end(start: usize) Constant {
    return .{ .start = @intCast(start), .len = @intCast(written - start) };
}

pub fn keep(bytes: []const u8) Constant {
    const start = written;
    @memcpy(constants[start..][0..bytes.len], bytes);
    written += bytes.len;
    return end(start);
}

pub fn textAt(constant: Constant) []const u8 {
    return constants[constant.start..][0..constant.len];
}

pub fn emitText(op: Op, character: u16, constant: Constant) void {
    emit(.{ .op = op, .at = character, .argument = @bitCast(constant) });
}

pub fn emitNatural(natural: u64, character: u16) void {
    if (natural >> 32 == 0) return emit(.{ .op = .natural, .at = character, .argument = @intCast(natural) });
    const bytes: [8]u8 = @bitCast(natural);
    emitText(.wide, character, keep(&bytes));
}

pub fn wideAt(constant: Constant) u64 {
    return @bitCast(constants[constant.start..][0..8].*);
}
