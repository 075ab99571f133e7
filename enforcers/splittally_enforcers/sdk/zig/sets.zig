//! A set of texts, for a grant's long list that is asked about often: each question is one look, not a walk.
//!
//! The texts stay where they are; the set holds where. Who fills it also says how a text is hashed, so that a
//! text may be looked for byte by byte while it is read.

const std = @import("std");

/// The hash of the empty text.
pub const seed: u32 = 0x811C9DC5; // FNV-1a, 32 bits

/// The hash of a text and one byte more.
pub inline fn mix(hash: u32, byte: u8) u32 {
    return (hash ^ byte) *% 0x01000193;
}

pub fn hashOf(text: []const u8) u32 {
    var hash = seed;
    for (text) |byte| hash = mix(hash, byte);
    return hash;
}

/// A set of at most `most` texts. It stands in static memory and begins empty in each call.
pub fn Set(comptime most: usize) type {
    const slot_count = std.math.ceilPowerOfTwoAssert(usize, 2 * most);
    return struct {
        slots: [slot_count]Slot = @splat(.{}),
        count: usize = 0,
        const Self = @This();

        /// Adds a text that is not empty; false when the set is full.
        pub fn add(set: *Self, hash: u32, text: []const u8) bool {
            const slot = &set.slots[set.find(hash, text)];
            if (slot.size > 0) return true;
            if (set.count == most) return false;
            slot.* = .{ .start = text.ptr, .size = text.len };
            set.count += 1;
            return true;
        }

        pub fn has(set: *const Self, hash: u32, text: []const u8) bool {
            return set.slots[set.find(hash, text)].size > 0;
        }

        /// The slot of the text, or the free slot where it belongs.
        noinline fn find(set: *const Self, hash: u32, text: []const u8) usize {
            var at = (hash ^ hash >> 16) % slot_count;
            while (set.slots[at].size > 0) : (at = (at + 1) % slot_count) {
                const slot = &set.slots[at];
                if (std.mem.eql(u8, slot.start.?[0..slot.size], text)) break;
            }
            return at;
        }
    };
}

/// All zeros while it is free, so that free slots take no place in a module's file.
const Slot = struct { start: ?[*]const u8 = null, size: usize = 0 };
