//! sys/CapEnforceShell@1: which command one `shell.run` may start, where, with which environment and for how long.
//!
//! 1. A command is its list of arguments; no text is split into words here, and no shell may do it later.
//! 2. `*` stands for one argument that is no option, so that an option is allowed only where it is written.
//! 3. Where commands are restricted, so is the environment: a variable can change what a command does.

const sdk = @import("splittally");
const commands = @import("commands.zig");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

const folders_max = 512;
const names_max = 256;

const CapFields = struct {
    commands: ?sdk.Item = null,
    cwd: ?sdk.Item = null,
    env: ?sdk.Item = null,
    max_seconds: ?u64 = null,
};

const Cap = struct { commands: sdk.Items, folders: sdk.Texts, restricts_env: bool, max_seconds: ?u64 };

const ParamFields = struct {
    argv: ?sdk.Item = null,
    cwd: ?[]const u8 = null,
    env: ?sdk.Item = null,
    timeout_seconds: ?u64 = null,
};

var names: sdk.sets.Set(names_max) = .{};

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{"shell.run"}, answer);
    const cap = try readCap(ask, answer);
    const params = try ask.params(ParamFields, answer);
    const argv = try readArgv(params.argv, answer);
    const env = try readEnv(params.env, answer);
    try checkCommand(&cap, argv, answer);
    try checkCwd(&cap, params.cwd, answer);
    if (cap.restricts_env) try checkEnv(env, answer);
    const seconds = params.timeout_seconds orelse cap.max_seconds orelse 0;
    if (cap.max_seconds) |most| if (seconds > most) return answer.refuse("max_seconds_exceeded", .{
        "timeout_seconds ", seconds, " is above the grant's ", most, "; state less or ask for a wider grant",
    });
    answer.put("runs", 1);
    answer.put("seconds", seconds);
}

/// A command that failed was a run too. One that was stopped at its bound used all of it.
pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{"shell.run"}, answer);
    const cap = try ask.cap(CapFields, answer);
    const payload = try receipt.read(struct { seconds: ?u64 = null }, answer);
    answer.use(ask, "runs", 1);
    const stopped = if (receipt.status == .timeout) ask.reserved("seconds") else null;
    const seconds = payload.seconds orelse stopped orelse {
        if (receipt.status == .ok) answer.say("usage_missing", .{
            "the receipt is ok and gives no `seconds`; report how long the command ran, rounded up",
        });
        return;
    };
    answer.use(ask, "seconds", seconds);
    if (cap.max_seconds) |most| if (seconds > most) answer.say("max_seconds_exceeded", .{
        "the receipt's seconds ", seconds, " is above the grant's ", most,
    });
}

// --- what is read ------------------------------------------------------------------------------------

fn readCap(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!Cap {
    const found = try ask.cap(CapFields, answer);
    const patterns = try sdk.lists.items(found.commands, &.{
        .name = "commands",
        .most = commands.patterns_max,
        .bytes_most = commands.patterns_bytes_max,
        .expected = "a list of at most 256 patterns in 16 KiB",
    }, answer);
    const folders = try sdk.lists.texts(found.cwd, &.{
        .name = "cwd",
        .most = folders_max,
        .expected = "a list of at most 512 absolute paths; name a folder above them",
    }, answer);
    var rest = folders;
    while (rest.next()) |folder| {
        if (!sdk.paths.isPrefix(folder)) return answer.refuse("cap_params_invalid", .{
            "field `cwd` of the cap params must list absolute paths without dot segments, not ", sdk.quote(folder),
        });
    }
    var listed = try sdk.lists.texts(found.env, &.{
        .name = "env",
        .most = names_max,
        .expected = "a list of at most 256 names of variables",
    }, answer);
    const restricts_env = !listed.isEmpty() or patterns.count > 0;
    while (listed.next()) |name| {
        if (!isName(name) or !names.add(sdk.sets.hashOf(name), name)) return answer.refuse("cap_params_invalid", .{
            "field `env` of the cap params must list names of variables, not ", sdk.quote(name),
        });
    }
    return .{ .commands = patterns, .folders = folders, .restricts_env = restricts_env, .max_seconds = found.max_seconds };
}

/// What no system call can pass on is refused whatever the grant says: it would be cut, or run something else.
fn readArgv(stated: ?sdk.Item, answer: *sdk.Answer) sdk.Refused!sdk.Texts {
    const expected = "a list of at most 512 texts without NUL that begins with the command's name";
    const argv = try sdk.lists.texts(stated, &.{
        .source = .params,
        .name = "argv",
        .most = commands.arguments_max,
        .expected = expected,
    }, answer);
    return if (commands.look(argv)) argv else answer.misfitParams("argv", expected);
}

fn readEnv(stated: ?sdk.Item, answer: *sdk.Answer) sdk.Refused!sdk.Map {
    const expected = "a map from at most 256 names of variables to texts without NUL";
    const env = try sdk.lists.map(stated, &.{
        .source = .params,
        .name = "env",
        .most = names_max,
        .expected = expected,
    }, answer);
    var rest = env;
    while (rest.next()) |variable| {
        const value = variable.value.text() orelse return answer.misfitParams("env", expected);
        if (!isName(variable.key) or commands.hasNul(value)) return answer.misfitParams("env", expected);
    }
    return env;
}

/// A letter or `_`, then letters, digits and `_`.
fn isName(name: []const u8) bool {
    for (name, 0..) |byte, at| {
        const is_letter = (byte | 0x20 >= 'a' and byte | 0x20 <= 'z') or byte == '_';
        const is_digit = byte >= '0' and byte <= '9';
        if (!is_letter and (at == 0 or !is_digit)) return false;
    }
    return name.len > 0;
}

// --- what is judged ----------------------------------------------------------------------------------

fn checkCommand(cap: *const Cap, argv: sdk.Texts, answer: *sdk.Answer) sdk.Refused!void {
    if (cap.commands.count == 0) return;
    var is_allowed = false;
    var patterns = cap.commands;
    while (patterns.next()) |item| {
        const is_match = commands.matches(item, argv) catch return answer.refuse("cap_params_invalid", .{
            "field `commands` of the cap params must list patterns, in all at most 1024 texts: a command's name, then ",
            "arguments with `*` last in them, and `**` last of all",
        });
        is_allowed = is_allowed or is_match;
    }
    if (!is_allowed) return answer.refuse("command_not_allowed", .{
        "command ", sdk.list(argv), " fits no pattern of the grant; use a listed one or ask for a wider grant",
    });
}

fn checkCwd(cap: *const Cap, stated: ?[]const u8, answer: *sdk.Answer) sdk.Refused!void {
    if (cap.folders.isEmpty()) return;
    const cwd = stated orelse return answer.refuse("cwd_not_allowed", .{
        "the grant lists its folders and the params name none; add `cwd`",
    });
    const path = sdk.paths.resolve(cwd, null) catch return answer.refuse("cwd_not_allowed", .{
        "cwd ", sdk.quote(cwd), " cannot be read in one way only; write an absolute path with plain segments",
    });
    var folders = cap.folders;
    while (folders.next()) |folder| if (sdk.paths.isUnder(path, folder)) return;
    return answer.refuse("cwd_not_allowed", .{
        "cwd ", sdk.quote(path), " is under none of the grant's folders; use a listed one or ask for a wider grant",
    });
}

fn checkEnv(env: sdk.Map, answer: *sdk.Answer) sdk.Refused!void {
    var variables = env;
    while (variables.next()) |variable| {
        if (!names.has(sdk.sets.hashOf(variable.key), variable.key)) return answer.refuse("env_not_allowed", .{
            "variable ", sdk.quote(variable.key), " is not on the grant's list; leave it out or ask for a wider grant",
        });
    }
}
