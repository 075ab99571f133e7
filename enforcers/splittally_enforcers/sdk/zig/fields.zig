//! Reads a map into a struct: the struct's fields say which names, types and defaults there are.
//!
//! One pass over the map meets the fields in canonical order, so a name is found by walking, not searching.
//! A field without a default is required. The types a field may have are those of `Kind`.

const answers = @import("answer.zig");
const cbor = @import("cbor.zig");
const Answer = answers.Answer;
const Refused = answers.Refused;
const Source = answers.Source;

const Kind = enum {
    natural,
    maybe_natural,
    text,
    maybe_text,
    boolean,
    maybe_item,
    items,
    texts,
    naturals,
    map,
    maybe_amounts,

    fn Type(comptime kind: Kind) type {
        return switch (kind) {
            .natural => u64,
            .maybe_natural => ?u64,
            .text => []const u8,
            .maybe_text => ?[]const u8,
            .boolean => bool,
            .maybe_item => ?cbor.Item,
            .items => cbor.Items,
            .texts => cbor.Texts,
            .naturals => cbor.Naturals,
            .map => cbor.Map,
            .maybe_amounts => ?cbor.Amounts,
        };
    }

    fn of(comptime T: type) Kind {
        for (@typeInfo(Kind).@"enum".field_names) |name| {
            if (@field(Kind, name).Type() == T) return @field(Kind, name);
        }
        @compileError("an enforcer cannot read a " ++ @typeName(T));
    }

    fn expected(kind: Kind) []const u8 {
        return switch (kind) {
            .natural, .maybe_natural => "a natural number below 2^64",
            .text, .maybe_text => "a text",
            .boolean => "true or false",
            .maybe_item => "a value",
            .items => "a list",
            .texts => "a list of texts",
            .naturals => "a list of natural numbers below 2^64",
            .map => "a map",
            .maybe_amounts => "a map from at most 64 dimensions to natural numbers below 2^64",
        };
    }
};

const Field = struct { name: []const u8, offset: usize, kind: Kind, is_required: bool };

/// What is known of `T` when the enforcer is built.
fn Plan(comptime T: type) type {
    const info = @typeInfo(T).@"struct";
    return struct {
        /// The fields in canonical order of their names.
        const fields: [info.field_names.len]Field = sort: {
            var sorted: [info.field_names.len]Field = undefined;
            for (info.field_names, info.field_types, info.field_attrs, 0..) |name, Type, attrs, i| {
                var at = i;
                while (at > 0 and cbor.order(name, sorted[at - 1].name) == .before) : (at -= 1) sorted[at] = sorted[at - 1];
                sorted[at] = .{
                    .name = name,
                    .offset = @offsetOf(T, name),
                    .kind = Kind.of(Type),
                    .is_required = attrs.default_value_ptr == null,
                };
            }
            break :sort sorted;
        };

        /// Every default; a required field holds a zero until it is read.
        const defaults: T = fill: {
            var value: T = undefined;
            for (info.field_names, info.field_types, info.field_attrs) |name, Type, attrs| {
                @field(value, name) = attrs.defaultValue(Type) orelse if (Type == u64) 0 else "";
            }
            break :fill value;
        };
    };
}

/// The map in `bytes` as a `T`; `path` is where it stands, empty at the top. Refuses with the code of `source`.
pub fn read(comptime T: type, source: Source, path: []const u8, bytes: []const u8, answer: *Answer) Refused!T {
    var value = Plan(T).defaults;
    try readFields(@ptrCast(&value), &Plan(T).fields, source, path, bytes, answer);
    return value;
}

noinline fn readFields(
    target: [*]u8,
    fields: []const Field,
    source: Source,
    path: []const u8,
    bytes: []const u8,
    answer: *Answer,
) Refused!void {
    var reader: cbor.Reader = .{ .bytes = bytes };
    if (!reader.isAt(.map)) return answer.misfit(source, path, "", "a map");
    const count = reader.count(.map) catch return answer.unreadable(source);
    var keys: cbor.Keys = .{};
    var rest = fields;
    for (0..count) |_| {
        const key = keys.next(&reader) catch return answer.unreadable(source);
        const is_known = while (rest.len > 0) : (rest = rest[1..]) {
            const place = cbor.order(rest[0].name, key);
            if (place != .before) break place == .same;
            if (rest[0].is_required) return answer.misfit(source, path, rest[0].name, "present");
        } else false;
        if (!is_known) {
            if (source == .cap_params and !isPrivate(key)) return answer.unknownField(path, key);
            reader.skip() catch return answer.unreadable(source);
        } else if (source.nullIsAbsent() and reader.isAtNull()) {
            reader.at += 1;
        } else {
            const start = reader.at;
            readInto(target + rest[0].offset, rest[0].kind, &reader) catch {
                reader.at = start;
                reader.skip() catch return answer.unreadable(source);
                return answer.misfit(source, path, rest[0].name, rest[0].kind.expected());
            };
            rest = rest[1..];
        }
    }
    for (rest) |field| if (field.is_required) return answer.misfit(source, path, field.name, "present");
    if (reader.at != bytes.len) return answer.unreadable(source);
}

fn readInto(target: [*]u8, kind: Kind, reader: *cbor.Reader) cbor.Malformed!void {
    switch (kind) {
        inline else => |known| {
            const field: *known.Type() = @ptrCast(@alignCast(target));
            field.* = switch (known) {
                .natural, .maybe_natural => try reader.natural(),
                .text, .maybe_text => try reader.text(),
                .boolean => try reader.boolean(),
                .maybe_item => try reader.item(),
                .items => try reader.items(null),
                .texts => .{ .items = try reader.items(.text) },
                .naturals => .{ .items = try reader.items(.natural) },
                .map => try reader.map(),
                .maybe_amounts => try reader.amounts(),
            };
        },
    }
}

/// A cap param whose name begins with `x-` is its author's own note and is passed over.
fn isPrivate(key: []const u8) bool {
    return key.len > 2 and key[0] == 'x' and key[1] == '-';
}
