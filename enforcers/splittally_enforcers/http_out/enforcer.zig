//! sys/CapEnforceHttpOut@1: which URLs and methods one `http.request` may use.
//!
//! 1. The URL is read where the standards agree and refused where they do not (url.zig, path.zig).
//! 2. Where hosts are restricted a `host` header is refused: the URL names the host.
//! 3. One request is reserved, and the bytes of the body that the intent states.

const sdk = @import("splittally");
const paths = @import("path.zig");
const urls = @import("url.zig");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

const Cap = struct {
    schemes: sdk.Texts = .none,
    hosts: sdk.Texts = .none,
    ports: sdk.Naturals = .none,
    methods: sdk.Texts = .none,
    path_prefixes: sdk.Texts = .none,
    max_body_bytes: ?u64 = null,
    allow_userinfo: bool = false,
};

const Params = struct {
    url: []const u8,
    method: []const u8 = "GET",
    headers: sdk.Map = .none,
    body_bytes: ?u64 = null,
};

var scheme_buffer: [16]u8 = @splat(0);
var host_buffer: [256]u8 = @splat(0);
var pattern_buffer: [256]u8 = @splat(0);
var path_buffer: [8 * 1024]u8 = @splat(0);

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{"http.request"}, answer);
    const cap = try ask.cap(Cap, answer);
    const params = try ask.params(Params, answer);
    try checkToken(params.method, answer);
    const url = urls.parse(params.url, &scheme_buffer, &host_buffer) catch return answer.refuse("url_invalid", .{
        "the url cannot be read in one way only; write it as scheme://host:port/path with an ascii host and no spaces",
    });
    try checkScheme(&cap, &url, answer);
    try checkHost(&cap, &url, &params, answer);
    try checkPort(&cap, &url, answer);
    if (url.is_unclear) return answer.refuse("url_invalid", .{
        "clients read a url with a backslash or two `@` in different ways; encode them as %5C and %40",
    });
    if (url.has_userinfo and !cap.allow_userinfo) return answer.refuse("userinfo_not_allowed", .{
        "the url holds a user name or password before `@`; leave it out or ask for a grant that allows userinfo",
    });
    try checkMethod(&cap, params.method, answer);
    try checkPath(&cap, &url, answer);
    try checkBody(&cap, &params, answer);
    answer.put("requests", 1);
    answer.put("bytes", params.body_bytes orelse 0);
}

/// A request that failed was a request too. Bytes received have no bound, so they are a dimension apart.
pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{"http.request"}, answer);
    const cap = try ask.cap(Cap, answer);
    const params = try ask.params(struct { body_bytes: ?u64 = null }, answer);
    const payload = try receipt.read(struct { bytes_sent: ?u64 = null, bytes_received: ?u64 = null }, answer);
    const stated = if (receipt.status == .ok) params.body_bytes orelse 0 else 0;
    const sent = payload.bytes_sent orelse stated;
    answer.use(ask, "requests", 1);
    answer.use(ask, "bytes", sent);
    if (payload.bytes_received) |received| answer.use(ask, "bytes_received", received);
    if (cap.max_body_bytes) |most| if (sent > most) answer.say("body_too_large", .{
        "the receipt's bytes_sent ", sent, " is above the grant's ", most,
    });
}

/// Without a list http and https are allowed, because nothing else is an http request.
fn checkScheme(cap: *const Cap, url: *const urls.Url, answer: *sdk.Answer) sdk.Refused!void {
    const is_allowed = if (cap.schemes.isEmpty())
        sdk.same(url.scheme, "https") or sdk.same(url.scheme, "http")
    else
        hasFolded(cap.schemes, url.scheme);
    if (!is_allowed) return answer.refuse("scheme_not_allowed", .{
        "scheme ",                                                                             sdk.quote(url.scheme),
        " is not allowed; use one that the grant lists, or http or https where it lists none",
    });
}

fn checkHost(cap: *const Cap, url: *const urls.Url, params: *const Params, answer: *sdk.Answer) sdk.Refused!void {
    if (cap.hosts.isEmpty()) return;
    var is_allowed = false;
    var patterns = cap.hosts;
    while (patterns.next()) |pattern| {
        const is_match = matches(pattern, &url.host) catch return answer.refuse("cap_params_invalid", .{
            "field `hosts` of the cap params must list hosts or `*.` and a domain, not ", sdk.quote(pattern),
        });
        is_allowed = is_allowed or is_match;
    }
    if (!is_allowed) return answer.refuse("host_not_allowed", .{
        "host ", sdk.quote(url.host.name), " is not on the grant's list; use a listed one or ask for a wider grant",
    });
    var headers = params.headers;
    while (headers.next()) |header| {
        const names_host = equalFolded(header.key, "host") or equalFolded(header.key, ":authority");
        if (names_host) return answer.refuse("host_not_allowed", .{
            "header ", sdk.quote(header.key), " would name another host than the url; leave it out",
        });
    }
}

/// A pattern is a host, compared in the same form, or `*.` and a domain, which means its subdomains only.
fn matches(pattern: []const u8, host: *const urls.Host) urls.Malformed!bool {
    if (sdk.startsWith(pattern, "*.")) {
        const domain = try urls.parseHost(pattern[2..], &pattern_buffer);
        if (domain.groups != null or domain.is_ipv4) return error.Malformed;
        if (host.groups != null or host.is_ipv4 or host.name.len <= domain.name.len + 1) return false;
        return sdk.endsWith(host.name, domain.name) and host.name[host.name.len - domain.name.len - 1] == '.';
    }
    const is_bare_ipv6 = pattern.len > 0 and pattern[0] != '[' and urls.find(pattern, ":") != null;
    const groups = if (is_bare_ipv6) try urls.parseIpv6(pattern) else null;
    const wanted = if (is_bare_ipv6)
        urls.Host{ .name = "", .groups = groups }
    else
        try urls.parseHost(pattern, &pattern_buffer);
    const wanted_groups = wanted.groups orelse return host.groups == null and sdk.equal(wanted.name, host.name);
    const host_groups = host.groups orelse return false;
    for (wanted_groups, host_groups) |a, b| if (a != b) return false;
    return true;
}

fn checkPort(cap: *const Cap, url: *const urls.Url, answer: *sdk.Answer) sdk.Refused!void {
    const port = url.port orelse {
        if (cap.ports.items.count == 0) return;
        return answer.refuse("port_not_allowed", .{"the url gives no port and its scheme has no default; add the port"});
    };
    if (!cap.ports.allows(port)) return answer.refuse("port_not_allowed", .{
        "port ", port, " is not on the grant's list; use a listed one or ask for a wider grant",
    });
}

/// A method is a token (RFC 9110 section 5.6.2), so nothing can be smuggled behind it.
fn checkToken(method: []const u8, answer: *sdk.Answer) sdk.Refused!void {
    if (method.len == 0) return answer.misfitParams("method", "a method such as GET");
    for (method) |byte| {
        const lower = urls.toLower(byte);
        const is_plain = (lower >= 'a' and lower <= 'z') or (byte >= '0' and byte <= '9');
        if (!is_plain and urls.find(&.{byte}, "!#$%&'*+-.^_`|~") == null) {
            return answer.misfitParams("method", "a method such as GET");
        }
    }
}

fn checkMethod(cap: *const Cap, method: []const u8, answer: *sdk.Answer) sdk.Refused!void {
    if (!cap.methods.isEmpty() and !hasFolded(cap.methods, method)) return answer.refuse("method_not_allowed", .{
        "method ", sdk.quote(method), " is not on the grant's list; use a listed one or ask for a wider grant",
    });
}

fn checkPath(cap: *const Cap, url: *const urls.Url, answer: *sdk.Answer) sdk.Refused!void {
    if (cap.path_prefixes.isEmpty()) return;
    var prefixes = cap.path_prefixes;
    while (prefixes.next()) |prefix| {
        if (prefix.len == 0 or prefix[0] != '/') return answer.refuse("cap_params_invalid", .{
            "field `path_prefixes` of the cap params must list paths that begin with `/`, not ", sdk.quote(prefix),
        });
    }
    if (url.path.len > path_buffer.len) return answer.refuse("path_not_allowed", .{
        "the path is longer than 8192 bytes; shorten it or ask for a grant without path prefixes",
    });
    const path = paths.normalise(url.path, &path_buffer) catch return answer.refuse("path_not_allowed", .{
        "path ",                                                                                 sdk.quote(url.path),
        " holds an escape or dot segment that servers read in different ways; write it plainly",
    });
    prefixes = cap.path_prefixes;
    while (prefixes.next()) |prefix| if (paths.isUnder(path, prefix)) return;
    return answer.refuse("path_not_allowed", .{
        "path ", sdk.quote(path), " is under none of the grant's prefixes; use a listed one or ask for a wider grant",
    });
}

fn checkBody(cap: *const Cap, params: *const Params, answer: *sdk.Answer) sdk.Refused!void {
    const size = params.body_bytes orelse return;
    if (cap.max_body_bytes) |most| if (size > most) return answer.refuse("body_too_large", .{
        "body_bytes ", size, " is above the grant's ", most, "; send less at once or ask for a wider grant",
    });
}

fn hasFolded(list: sdk.Texts, wanted: []const u8) bool {
    var rest = list;
    while (rest.next()) |listed| if (equalFolded(listed, wanted)) return true;
    return false;
}

/// Whether two ASCII texts are equal but for the case of their letters.
fn equalFolded(a: []const u8, b: []const u8) bool {
    if (a.len != b.len) return false;
    for (a, b) |x, y| if (urls.toLower(x) != urls.toLower(y)) return false;
    return true;
}
