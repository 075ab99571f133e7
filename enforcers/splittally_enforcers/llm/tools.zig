//! Which tools a request offers, in the form of any provider: each must be on the grant's list.
//!
//! 1. A tool is a name, `{name}`, `{function: {name}}`, `{toolSpec: {name}}` or `{functionDeclarations: [{name}]}`. One
//!    that the provider runs itself is named by its `type`, or by the key that holds its settings.
//! 2. Where a tool has several names, all must be allowed. One without a name is refused.

const reading = @import("reading.zig");
const sdk = @import("splittally");
const Meanings = @import("names.zig").Table(Meaning);

const offered_max = 512;
const listed_max = 1_024; // so that all that is static lies in the first page of memory
const settings_max = 8;
const name_work = 4; // of one that is hashed, and looked for

const Meaning = enum { name, type, one, several };

const meanings = [_]Meanings{
    .{ .meaning = .name, .names = &.{"name"} },
    .{ .meaning = .type, .names = &.{"type"} },
    .{ .meaning = .one, .names = &.{ "function", "toolSpec", "tool_spec" } },
    .{ .meaning = .several, .names = &.{ "functionDeclarations", "function_declarations" } },
};

var listed: sdk.sets.Set(listed_max) = .{};

/// The tools of one request, read one list after the other.
pub const Offer = struct {
    allowed: sdk.Texts,
    count: usize = 0,
    hosted: u64 = 0, // tools that the provider runs itself

    pub fn of(allowed: sdk.Texts) Offer {
        return .{ .allowed = allowed };
    }

    pub noinline fn read(offer: *Offer, list: sdk.Item, answer: *sdk.Answer) sdk.Refused!void {
        if (offer.count == 0) try offer.fill(answer);
        var tools = list.items() orelse return answer.unreadable(.params);
        offer.count += tools.count;
        if (offer.count > offered_max) return answer.misfit(.params, "", "tools", "a list of at most 512 tools");
        while (tools.count > 0) {
            tools.count -= 1;
            var level: reading.Level = .{
                .reader = tools.rest,
                .keys = .{},
                .left = 0,
                .source = .params,
                .path = "tools",
            };
            const tool = try level.item(answer) orelse return nameless(answer);
            tools.rest = level.reader;
            if (tool.text()) |name| try offer.require(name, answer) else try offer.readTool(tool, answer);
        }
    }

    fn fill(offer: *const Offer, answer: *sdk.Answer) sdk.Refused!void {
        if (!reading.spend(name_work * offer.allowed.items.count)) return reading.tooMany(.cap_params, answer);
        var names = offer.allowed;
        while (names.next()) |name| if (name.len > 0) {
            if (!listed.add(sdk.sets.hashOf(name), name)) {
                return answer.misfit(.cap_params, "", "tools", "a list of at most 1024 texts");
            }
        };
    }

    fn readTool(offer: *Offer, tool: sdk.Item, answer: *sdk.Answer) sdk.Refused!void {
        var level: reading.Level = try .of(tool.bytes, .params, "tools", answer);
        var count: usize = 0;
        var kind: []const u8 = "";
        var settings: [settings_max][]const u8 = undefined;
        var settings_count: usize = 0;
        while (try level.next(answer)) |key| switch (find(key) orelse {
            if (level.reader.isAt(.map) and settings_count < settings_max) {
                settings[settings_count] = key;
                settings_count += 1;
            }
            try level.skip(answer);
            continue;
        }) {
            .name => if (try level.text(key, answer)) |name| {
                try offer.require(name, answer);
                count += 1;
            },
            .type => kind = try level.text(key, answer) orelse "",
            .one => if (try level.item(answer)) |item| {
                try offer.readNamed(item, "tools.function", answer);
                count += 1;
            },
            .several => if (try level.listOf(key, answer)) |item| {
                count += try offer.readDeclared(item, answer);
            },
        };
        const is_hosted = kind.len > 0 and !sdk.same(kind, "function") and !sdk.same(kind, "custom");
        if (is_hosted and count == 0) {
            try offer.require(kind, answer);
            count = 1;
        }
        if (count == 0) for (settings[0..settings_count]) |name| try offer.require(name, answer);
        if (count + settings_count == 0) return nameless(answer);
        if (is_hosted or count == 0) offer.hosted += 1;
    }

    /// The names of declared functions; how many there are.
    fn readDeclared(offer: *Offer, list: sdk.Item, answer: *sdk.Answer) sdk.Refused!usize {
        var declared = list.items() orelse return answer.unreadable(.params);
        const count = declared.count;
        offer.count += count;
        if (offer.count > offered_max) return answer.misfit(.params, "", "tools", "a list of at most 512 tools");
        while (declared.next()) |item| try offer.readNamed(item, "tools.functionDeclarations", answer);
        return count;
    }

    fn readNamed(offer: *Offer, item: sdk.Item, path: []const u8, answer: *sdk.Answer) sdk.Refused!void {
        var level: reading.Level = try .of(item.bytes, .params, path, answer);
        var is_named = false;
        while (try level.next(answer)) |key| {
            if (sdk.same(key, "name")) {
                try offer.require(try level.text(key, answer) orelse "", answer);
                is_named = true;
            } else try level.skip(answer);
        }
        if (!is_named) return answer.misfit(.params, path, "name", "present");
    }

    fn require(offer: *const Offer, name: []const u8, answer: *sdk.Answer) sdk.Refused!void {
        if (!reading.spend(name_work)) return reading.tooMany(.params, answer);
        if (offer.allowed.isEmpty() or (name.len > 0 and listed.has(sdk.sets.hashOf(name), name))) return;
        if (name.len == 0 and offer.allowed.has(name)) return;
        return answer.refuse("tool_not_allowed", .{
            "tool ", sdk.quote(name), " is not on the grant's list; leave it out or ask for a wider grant",
        });
    }
};

noinline fn find(key: []const u8) ?Meaning {
    return Meanings.find(&meanings, key);
}

fn nameless(answer: *sdk.Answer) sdk.Refused {
    return answer.misfit(.params, "", "tools", "a list of names or of maps with a `name`");
}
