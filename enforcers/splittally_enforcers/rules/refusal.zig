//! Why a text is no expression: a character of it and a reason out of a closed list.
//!
//! 1. A text that cannot be parsed is refused at once; a type that does not fit is noted, the first one
//!    stays, and it refuses only what could be parsed.
//! 2. The texts are this file's own; nothing of the expression stands in them.

pub const Refused = error{NoExpression};

pub const Reason = enum {
    too_long_together,
    no_end_quote,
    no_meaning,
    no_place,
    no_value,
    no_key,
    no_method,
    no_function,
    no_select,
    no_integer,
    too_large,
    no_escape,
    no_code_point,
    surrogate,
    too_many_together,
    too_deep,
    unknown_name,
    unknown_key,
    not_map,
    not_container,
    not_collection,
    not_int,
    not_bool,
    not_string,
    not_sized,
    not_compared,
    not_ordered,
    not_joined,
    mixed_items,
    mixed_sides,

    pub fn text(reason: Reason) []const u8 {
        return switch (reason) {
            .too_long_together => "the expressions of a grant have more than 4096 bytes together",
            .no_end_quote => "this string does not end on its line",
            .no_meaning => "this character has no meaning here",
            .no_place => "this word has no place here",
            .no_value => "a value is expected here",
            .no_key => "the name of a key is expected here",
            .no_method => "the methods are contains, endsWith and startsWith",
            .no_function => "the functions are has and size",
            .no_select => "has asks for a key, as in has(map.key)",
            .no_integer => "numbers are integers, without fraction, exponent or suffix",
            .too_large => "an integer above 2^64-1",
            .no_escape => "no such escape",
            .no_code_point => "a code point above U+10FFFF",
            .surrogate => "text holds a lone surrogate",
            .too_many_together => "the expressions of a grant have more than 500 parts together",
            .too_deep => "nested deeper than 32",
            .unknown_name => "no value has this name here",
            .unknown_key => "there is no such key",
            .not_map => "a map is expected here",
            .not_container => "a map or a list is expected here",
            .not_collection => "a list or a map is expected here",
            .not_int => "an int is expected here",
            .not_bool => "a bool is expected here",
            .not_string => "a string is expected here",
            .not_sized => "a string, list or map is expected here",
            .not_compared => "values of these types are never compared",
            .not_ordered => "only two ints or two strings have an order",
            .not_joined => "`+` joins two ints, two strings or two lists",
            .mixed_items => "this has another type than the items it is compared or listed with",
            .mixed_sides => "this side of `? :` has another type than the other",
        };
    }
};

/// `at` counts characters from 0.
pub const Refusal = struct { at: u16, reason: Reason };

pub var found: Refusal = .{ .at = 0, .reason = .no_value };

/// The first type that does not fit, of what is read now.
pub var misfit: ?Refusal = null;

pub fn refuse(at: u16, reason: Reason) Refused {
    found = .{ .at = at, .reason = reason };
    return error.NoExpression;
}

pub fn note(at: u16, reason: Reason) void {
    if (misfit == null) misfit = .{ .at = at, .reason = reason };
}

/// Takes the misfit away, so that the next is the first of something else.
pub fn takeMisfit() ?Refusal {
    const taken = misfit;
    misfit = null;
    return taken;
}
