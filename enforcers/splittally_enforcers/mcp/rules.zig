//! What a rule says of arguments: by name, a few comparisons each.
//!
//! 1. An argument that is absent breaks nothing but `required`. Null is a value: the tool is given it.
//! 2. Values are compared as canonical bytes, texts byte for byte; what lies inside a list or map is not judged.
//! 3. A comparison that does not fit the type of the value is broken, not passed over.

const sdk = @import("splittally");
const arguments = @import("arguments.zig");

const constraints_max = 256; // of all rules together
const values_max = 1024; // listed in all constraints together

var constraints_seen: u64 = 0;
var values_seen: u64 = 0;

/// The first thing about the arguments that a rule does not permit.
pub const Breach = struct { name: []const u8, rule: u64, why: []const u8 };

const ConstraintFields = struct {
    required: bool = false,
    forbidden: bool = false,
    equals: ?sdk.Item = null,
    one_of: ?sdk.Item = null,
    prefix: ?[]const u8 = null,
    under: ?sdk.Item = null,
    min: ?sdk.Item = null,
    max: ?sdk.Item = null,
    max_length: ?u64 = null,
};

const Constraint = struct { fields: ConstraintFields, one_of: sdk.Items, under: sdk.Texts, min: ?i64, max: ?i64 };

/// What the call breaks of one rule; refuses when the rule cannot be read.
pub fn breachOf(
    ask: *const sdk.Ask,
    stated: ?sdk.Item,
    is_closed: bool,
    number: u64,
    answer: *sdk.Answer,
) sdk.Refused!?Breach {
    const constraints = try sdk.lists.map(stated, &.{
        .name = "tools.arguments",
        .most = constraints_max,
        .expected = "a map from names of arguments, at most 256 in all, to maps",
    }, answer);
    constraints_seen += constraints.count;
    if (constraints_seen > constraints_max) return tooMany(answer);
    var found: ?Breach = null;
    var named: usize = 0;
    var rest = constraints;
    while (rest.next()) |entry| {
        const constraint = try readConstraint(ask, entry.value, answer);
        const argument = arguments.find(entry.key);
        if (argument != null) named += 1;
        const why = whyNot(&constraint, argument) orelse continue;
        if (found == null) found = .{ .name = entry.key, .rule = number, .why = why };
    }
    if (found != null or !is_closed or named == arguments.count) return found;
    return .{ .name = arguments.unnamed(constraints).?, .rule = number, .why = "is not among those that the rule names" };
}

noinline fn readConstraint(ask: *const sdk.Ask, item: sdk.Item, answer: *sdk.Answer) sdk.Refused!Constraint {
    const fields = try ask.capItem(item, ConstraintFields, "tools.arguments", answer);
    const constraint: Constraint = .{
        .fields = fields,
        .one_of = try sdk.lists.items(fields.one_of, &.{
            .path = "tools.arguments",
            .name = "one_of",
            .most = values_max,
            .expected = "a list of values, at most 1024 in all",
        }, answer),
        .under = try sdk.lists.texts(fields.under, &.{
            .path = "tools.arguments",
            .name = "under",
            .most = values_max,
            .expected = "a list of absolute paths, at most 1024 in all",
        }, answer),
        .min = try readBound("min", fields.min, answer),
        .max = try readBound("max", fields.max, answer),
    };
    values_seen += constraint.one_of.count + constraint.under.items.count;
    if (values_seen > values_max) return tooMany(answer);
    var prefixes = constraint.under;
    while (prefixes.next()) |prefix| {
        if (!sdk.paths.isPrefix(prefix)) return answer.refuse("cap_params_invalid", .{
            "field `tools.arguments.under` of the cap params must list absolute paths without dot segments, not ",
            sdk.quote(prefix),
        });
    }
    return constraint;
}

fn readBound(name: []const u8, stated: ?sdk.Item, answer: *sdk.Answer) sdk.Refused!?i64 {
    const item = stated orelse return null;
    return item.integer() orelse answer.misfit(.cap_params, "tools.arguments", name, "an integer from -2^63 to 2^63-1");
}

noinline fn tooMany(answer: *sdk.Answer) sdk.Refused {
    return answer.refuse("cap_params_invalid", .{
        "field `tools` of the cap params must hold at most 256 arguments and 1024 listed values in all",
    });
}

fn whyNot(constraint: *const Constraint, found: ?*const arguments.Argument) ?[]const u8 {
    const fields = &constraint.fields;
    const argument = found orelse return if (fields.required) "is missing" else null;
    if (fields.forbidden) return "is forbidden";
    const value = argument.value;
    if (fields.equals) |wanted| {
        if (!sdk.equal(value.bytes, wanted.bytes)) return "is not what the rule's `equals` says";
    }
    if (!isOneOf(constraint.one_of, value)) return "is none of the rule's `one_of`";
    if (fields.prefix) |prefix| {
        const text = value.text() orelse return "is no text";
        if (!sdk.startsWith(text, prefix)) return "does not begin with the rule's `prefix`";
    }
    if (!isUnderOne(constraint.under, argument)) return "is no plain absolute path below the rule's `under`";
    return whyOutside(constraint, value);
}

fn isOneOf(wanted: sdk.Items, value: sdk.Item) bool {
    if (wanted.count == 0) return true;
    var rest = wanted;
    while (rest.next()) |item| if (sdk.equal(item.bytes, value.bytes)) return true;
    return false;
}

fn isUnderOne(prefixes: sdk.Texts, argument: *const arguments.Argument) bool {
    if (prefixes.isEmpty()) return true;
    if (!argument.is_path) return false;
    const path = argument.value.text().?;
    var rest = prefixes;
    while (rest.next()) |prefix| if (sdk.paths.isUnder(path, prefix)) return true;
    return false;
}

fn whyOutside(constraint: *const Constraint, value: sdk.Item) ?[]const u8 {
    if (constraint.min) |least| {
        const number = value.integer() orelse return "is no integer";
        if (number < least) return "is below the rule's `min`";
    }
    if (constraint.max) |most| {
        const number = value.integer() orelse return "is no integer";
        if (number > most) return "is above the rule's `max`";
    }
    if (constraint.fields.max_length) |most| {
        const length = value.length() orelse return "has no length";
        if (length > most) return "is longer than the rule's `max_length`";
    }
    return null;
}
