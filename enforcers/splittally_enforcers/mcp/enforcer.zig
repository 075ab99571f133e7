//! sys/CapEnforceMcp@1: which tools of which servers one `mcp.call` may call, and with which arguments.
//!
//! 1. Rules are asked in the grant's order and the first that fits permits. No rule: any call.
//! 2. A call that no rule fits is denied with what the closest rule found: the first that names its server and tool,
//!    else that no rule does.
//! 3. One call is reserved, and the cost that the grant bounds.

const sdk = @import("splittally");
const arguments = @import("arguments.zig");
const rules = @import("rules.zig");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

const rules_max = 128;
const rules_bytes_max = 16 * 1024;

const Cap = struct { tools: ?sdk.Item = null, max_cost_cents: ?u64 = null };
const Rule = struct { server: []const u8, tool: []const u8, arguments: ?sdk.Item = null, only: bool = false };
const Params = struct { server: []const u8, tool: []const u8, arguments: ?sdk.Item = null };

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{"mcp.call"}, answer);
    const cap = try ask.cap(Cap, answer);
    const params = try ask.params(Params, answer);
    if (params.server.len == 0) return answer.misfitParams("server", "the name of a server");
    if (params.tool.len == 0) return answer.misfitParams("tool", "the name of a tool");
    try checkRules(ask, &cap, &params, answer);
    answer.put("calls", 1);
    if (cap.max_cost_cents) |most| answer.put("cost_cents", most);
}

/// A call that failed was a call too.
pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{"mcp.call"}, answer);
    const cap = try ask.cap(Cap, answer);
    answer.use(ask, "calls", 1);
    if (cap.max_cost_cents == null and receipt.cost_cents == null) return;
    const cost = receipt.cost_cents orelse 0;
    answer.use(ask, "cost_cents", cost);
    // A bound of 0 reserves 0, which alone would read as no bound.
    if (cap.max_cost_cents) |most| if (cost > most) answer.exceeds("cost_cents", cost, most);
}

fn checkRules(ask: *const sdk.Ask, cap: *const Cap, params: *const Params, answer: *sdk.Answer) sdk.Refused!void {
    var rest = try sdk.lists.items(cap.tools, &.{
        .name = "tools",
        .most = rules_max,
        .bytes_most = rules_bytes_max,
        .expected = "a list of at most 128 rules in 16 KiB; end a name in `*` to say several at once",
    }, answer);
    arguments.index(try sdk.lists.map(params.arguments, &.{
        .source = .params,
        .name = "arguments",
        .most = arguments.arguments_max,
        .expected = "a map of at most 256 arguments",
    }, answer));
    if (rest.count == 0) return;
    var names_server = false;
    var is_permitted = false;
    var closest: ?rules.Breach = null;
    var number: u64 = 0;
    while (rest.next()) |item| {
        number += 1;
        const rule = try ask.capItem(item, Rule, "tools", answer);
        try checkPattern("tools.server", rule.server, answer);
        try checkPattern("tools.tool", rule.tool, answer);
        const breach = try rules.breachOf(ask, rule.arguments, rule.only, number, answer);
        if (!isNamed(rule.server, params.server)) continue;
        names_server = true;
        if (!isNamed(rule.tool, params.tool)) continue;
        if (breach == null) is_permitted = true;
        if (closest == null) closest = breach;
    }
    if (is_permitted) return;
    if (closest) |breach| return refuseArgument(&breach, params, answer);
    if (!names_server) return answer.refuse("server_not_allowed", .{
        "server ", sdk.quote(params.server), " is in no rule of the grant; use a listed one or ask for a wider grant",
    });
    return answer.refuse("tool_not_allowed", .{
        "tool ",                                                                  sdk.quote(params.tool),
        " of server ",                                                            sdk.quote(params.server),
        " is in no rule of the grant; use a listed one or ask for a wider grant",
    });
}

noinline fn refuseArgument(breach: *const rules.Breach, params: *const Params, answer: *sdk.Answer) sdk.Refused {
    return answer.refuse("argument_not_allowed", .{
        "argument ",                            sdk.quote(breach.name), " of tool ",                  sdk.quote(params.tool),
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
