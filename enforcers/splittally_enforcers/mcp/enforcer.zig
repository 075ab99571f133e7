//! sys/CapEnforceMcp@1: which tools of which servers one `mcp.call` may call, or which tools of the host's own one
//! `tool.call`, and with which arguments.
//!
//! 1. Rules are asked in the grant's order and the first that fits permits. No rule: any call.
//! 2. A call that no rule fits is denied with what the closest rule found: the first that names its server and tool,
//!    else that no rule does.
//! 3. A `tool.call` has no server: no rule's server is compared with it, and a rule need not name one.
//! 4. One call is reserved, and the cost that the grant bounds.

const sdk = @import("splittally");
const arguments = @import("arguments.zig");
const rules = @import("rules.zig");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

/// 256 KiB of params, 64 KiB of payload, 16 KiB of rules, and what a question says beside them.
pub const input_bytes_max = 340 * 1024;

const rules_max = 128;
const rules_bytes_max = 16 * 1024;

const remote = "mcp.call";
const own = "tool.call";
const Cap = struct { tools: ?sdk.Item = null, max_cost_cents: ?u64 = null };
const RemoteRule = struct { server: []const u8, tool: []const u8, arguments: ?sdk.Item = null, only: bool = false };
const Rule = struct { server: ?[]const u8 = null, tool: []const u8, arguments: ?sdk.Item = null, only: bool = false };
const RemoteParams = struct { server: []const u8, tool: []const u8, arguments: ?sdk.Item = null };
const OwnParams = struct { tool: []const u8, arguments: ?sdk.Item = null };

/// Which tool is called; a tool of the host's own has no server.
const Call = struct { server: ?[]const u8, tool: []const u8, arguments: ?sdk.Item };

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{ remote, own }, answer);
    const cap = try ask.cap(Cap, answer);
    const call = try readCall(ask, answer);
    if (call.tool.len == 0) return answer.misfitParams("tool", "the name of a tool");
    try checkRules(ask, &cap, &call, answer);
    answer.put("calls", 1);
    if (cap.max_cost_cents) |most| answer.put("cost_cents", most);
}

/// A call that failed was a call too.
pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{ remote, own }, answer);
    const cap = try ask.cap(Cap, answer);
    answer.use(ask, "calls", 1);
    if (cap.max_cost_cents == null and receipt.cost_cents == null) return;
    const cost = receipt.cost_cents orelse 0;
    answer.use(ask, "cost_cents", cost);
    // A bound of 0 reserves 0, which alone would read as no bound.
    if (cap.max_cost_cents) |most| if (cost > most) answer.exceeds("cost_cents", cost, most);
}

fn readCall(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!Call {
    if (sdk.same(ask.kind, own)) {
        const params = try ask.params(OwnParams, answer);
        return .{ .server = null, .tool = params.tool, .arguments = params.arguments };
    }
    const params = try ask.params(RemoteParams, answer);
    if (params.server.len == 0) return answer.misfitParams("server", "the name of a server");
    return .{ .server = params.server, .tool = params.tool, .arguments = params.arguments };
}

fn checkRules(ask: *const sdk.Ask, cap: *const Cap, call: *const Call, answer: *sdk.Answer) sdk.Refused!void {
    var rest = try sdk.lists.items(cap.tools, &.{
        .name = "tools",
        .most = rules_max,
        .bytes_most = rules_bytes_max,
        .expected = "a list of at most 128 rules in 16 KiB; end a name in `*` to say several at once",
    }, answer);
    arguments.index(call.arguments) catch return answer.misfitParams("arguments", "a map of at most 256 arguments");
    if (rest.count == 0) return;
    var names_server = false;
    var is_permitted = false;
    var closest: ?rules.Breach = null;
    var number: u64 = 0;
    while (rest.next()) |item| {
        number += 1;
        const rule = try readRule(ask, item, call, answer);
        if (rule.server) |server| try checkPattern("tools.server", server, answer);
        try checkPattern("tools.tool", rule.tool, answer);
        const breach = try rules.breachOf(ask, rule.arguments, rule.only, number, answer);
        if (!namesServer(rule.server, call.server)) continue;
        names_server = true;
        if (!isNamed(rule.tool, call.tool)) continue;
        if (breach == null) is_permitted = true;
        if (closest == null) closest = breach;
    }
    if (is_permitted) return;
    if (closest) |breach| return refuseArgument(&breach, call, answer);
    const server = call.server orelse return answer.refuse("tool_not_allowed", .{
        "tool ", sdk.quote(call.tool), " is in no rule of the grant; use a listed one or ask for a wider grant",
    });
    if (!names_server) return answer.refuse("server_not_allowed", .{
        "server ", sdk.quote(server), " is in no rule of the grant; use a listed one or ask for a wider grant",
    });
    return answer.refuse("tool_not_allowed", .{
        "tool ",                                                                  sdk.quote(call.tool),
        " of server ",                                                            sdk.quote(server),
        " is in no rule of the grant; use a listed one or ask for a wider grant",
    });
}

/// A rule says which server's tools it is about, wherever a call has one.
fn readRule(ask: *const sdk.Ask, item: sdk.Item, call: *const Call, answer: *sdk.Answer) sdk.Refused!Rule {
    if (call.server == null) return ask.capItem(item, Rule, "tools", answer);
    const rule = try ask.capItem(item, RemoteRule, "tools", answer);
    return .{ .server = rule.server, .tool = rule.tool, .arguments = rule.arguments, .only = rule.only };
}

/// Whether a rule is about the tools of this server; of a call without one no rule's server is asked.
fn namesServer(pattern: ?[]const u8, server: ?[]const u8) bool {
    const name = server orelse return true;
    return isNamed(pattern.?, name);
}

noinline fn refuseArgument(breach: *const rules.Breach, call: *const Call, answer: *sdk.Answer) sdk.Refused {
    return answer.refuse("argument_not_allowed", .{
        "argument ",                            sdk.quote(breach.name), " of tool ",                  sdk.quote(call.tool),
        " breaks rule ",                        breach.rule,            " of the grant, because it ", breach.why,
        "; change it or ask for a wider grant",
    });
}

/// A name, or a prefix and a star; an empty one would name nothing.
fn checkPattern(comptime field: []const u8, pattern: []const u8, answer: *sdk.Answer) sdk.Refused!void {
    const stem = if (sdk.endsWith(pattern, "*")) pattern[0 .. pattern.len - 1] else pattern;
    const is_wrong = pattern.len == 0 or for (stem) |byte| {
        if (byte == '*') break true;
    } else false;
    if (is_wrong) return answer.refuse("cap_params_invalid", .{
        "field `" ++ field ++ "` of the cap params must be a name or a prefix that ends in `*`, not ", sdk.quote(pattern),
    });
}

fn isNamed(pattern: []const u8, name: []const u8) bool {
    if (sdk.endsWith(pattern, "*")) return sdk.startsWith(name, pattern[0 .. pattern.len - 1]);
    return sdk.equal(pattern, name);
}
