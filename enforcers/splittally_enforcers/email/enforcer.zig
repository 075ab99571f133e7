//! sys/CapEnforceEmail@1: to whom and from whom one `email.send` may go, and how large it may be.
//!
//! 1. An address is `local@domain` and nothing around it; what mail programs read differently is refused.
//! 2. No text of the intent can begin a header of its own, and no header can name another recipient or sender.
//! 3. One mail is reserved, its recipients, and its bytes: those that the intent states, else the grant's most.

const sdk = @import("splittally");
const addresses = @import("addresses.zig");
const headers = @import("headers.zig");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

const recipients_max = 256;
const attachments_max = 1024;

const Cap = struct {
    domains: ?sdk.Item = null,
    recipients: ?sdk.Item = null,
    from: ?sdk.Item = null,
    max_recipients: ?u64 = null,
    max_bytes: ?u64 = null,
    max_attachments: ?u64 = null,
};

const ParamFields = struct {
    to: ?sdk.Item = null,
    cc: ?sdk.Item = null,
    bcc: ?sdk.Item = null,
    from: ?[]const u8 = null,
    subject: ?[]const u8 = null,
    headers: ?sdk.Item = null,
    attachments: ?sdk.Item = null,
    bytes: ?u64 = null,
};

const fields = [_][]const u8{ "to", "cc", "bcc" };

const Mail = struct {
    recipients: [fields.len]sdk.Texts,
    count: u64, // of all recipients
    attachments: u64,
    bytes: ?u64,
};

var listed: addresses.Listed = .{};

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{"email.send"}, answer);
    const cap = try ask.cap(Cap, answer);
    const senders = try readCap(&cap, answer);
    const params = try ask.params(ParamFields, answer);
    const mail = try readMail(&params, answer);
    try headers.checkAll(params.subject, params.headers, answer);
    try checkFrom(senders, params.from, answer);
    if (cap.max_recipients) |most| if (mail.count > most) return answer.refuse("max_recipients_exceeded", .{
        "the mail has ", mail.count, " recipients, above the grant's ", most, "; send several or ask for a wider grant",
    });
    for (fields, mail.recipients) |field, recipients| try checkRecipients(field, recipients, answer);
    try checkSize(&cap, &mail, answer);
    answer.put("mails", 1);
    answer.put("recipients", mail.count);
    answer.put("bytes", mail.bytes orelse cap.max_bytes orelse 0);
}

/// A mail that timed out may have been sent, so it counts; one that failed counts where the receipt has recipients.
pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{"email.send"}, answer);
    const cap = try ask.cap(Cap, answer);
    const params = try ask.params(ParamFields, answer);
    const mail = try readMail(&params, answer);
    const payload = try receipt.read(struct { recipients: ?u64 = null, bytes: ?u64 = null }, answer);
    const has_failed = receipt.status == .@"error";
    const count = payload.recipients orelse if (has_failed) 0 else mail.count;
    const size = payload.bytes orelse if (has_failed) 0 else mail.bytes orelse 0;
    answer.use(ask, "mails", if (has_failed and count == 0) 0 else 1);
    answer.use(ask, "recipients", count);
    answer.use(ask, "bytes", size);
    if (cap.max_bytes) |most| if (size > most) answer.say("max_bytes_exceeded", .{
        "the receipt's bytes ", size, " is above the grant's ", most,
    });
}

// --- what is read ------------------------------------------------------------------------------------

/// The senders; domains and recipients are in the set.
fn readCap(cap: *const Cap, answer: *sdk.Answer) sdk.Refused!sdk.Texts {
    const domains_expected = "a list of at most 256 domains in lower case, or `*.` and a domain for its subdomains";
    var domains = try readAddresses("domains", domains_expected, cap.domains, answer);
    while (domains.next()) |domain| {
        if (!listed.addDomain(domain)) return refuseListed("domains", domains_expected, domain, answer);
    }
    const expected = "a list of at most 256 addresses, their domains in lower case";
    var recipients = try readAddresses("recipients", expected, cap.recipients, answer);
    while (recipients.next()) |address| {
        if (!listed.addAddress(address)) return refuseListed("recipients", expected, address, answer);
    }
    const senders = try readAddresses("from", expected, cap.from, answer);
    var rest = senders;
    while (rest.next()) |address| {
        if (!addresses.isPlain(address)) return refuseListed("from", expected, address, answer);
    }
    return senders;
}

noinline fn readAddresses(
    name: []const u8,
    expected: []const u8,
    stated: ?sdk.Item,
    answer: *sdk.Answer,
) sdk.Refused!sdk.Texts {
    return sdk.lists.texts(stated, &.{ .name = name, .most = addresses.listed_max, .expected = expected }, answer);
}

noinline fn refuseListed(name: []const u8, expected: []const u8, found: []const u8, answer: *sdk.Answer) sdk.Refused {
    return answer.refuse("cap_params_invalid", .{
        "field `", name, "` of the cap params must be ", expected, ", not ", sdk.quote(found),
    });
}

fn readMail(params: *const ParamFields, answer: *sdk.Answer) sdk.Refused!Mail {
    var mail: Mail = .{ .recipients = @splat(.none), .count = 0, .attachments = 0, .bytes = params.bytes };
    const stated = [fields.len]?sdk.Item{ params.to, params.cc, params.bcc };
    for (fields, stated, &mail.recipients) |field, item, *recipients| {
        recipients.* = try sdk.lists.texts(item, &.{
            .source = .params,
            .name = field,
            .most = recipients_max,
            .expected = "a list of at most 256 addresses",
        }, answer);
        mail.count += recipients.items.count;
    }
    if (mail.count == 0 or mail.count > recipients_max) return answer.refuse("params_invalid", .{
        "the mail has ", mail.count, " recipients; name 1 to 256 in `to`, `cc` and `bcc`",
    });
    const attachments = try sdk.lists.items(params.attachments, &.{
        .source = .params,
        .name = "attachments",
        .most = attachments_max,
        .expected = "a list of at most 1024 attachments",
    }, answer);
    mail.attachments = attachments.count;
    return mail;
}

// --- what is judged ----------------------------------------------------------------------------------

/// Where senders are listed one must be stated: else the host would choose one that nobody judged.
fn checkFrom(senders: sdk.Texts, stated: ?[]const u8, answer: *sdk.Answer) sdk.Refused!void {
    const from = stated orelse {
        if (senders.isEmpty()) return;
        return answer.refuse("from_not_allowed", .{"the grant lists its senders and the params name none; add `from`"});
    };
    const address = addresses.parse(from) catch return refuseAddress("from", from, answer);
    if (!senders.allows(address.text)) return answer.refuse("from_not_allowed", .{
        "sender ", sdk.quote(from), " is not on the grant's list; use a listed one or ask for a wider grant",
    });
}

noinline fn checkRecipients(field: []const u8, recipients: sdk.Texts, answer: *sdk.Answer) sdk.Refused!void {
    var rest = recipients;
    while (rest.next()) |written| {
        const address = addresses.parse(written) catch return refuseAddress(field, written, answer);
        if (!listed.isEmpty() and !listed.covers(address)) return answer.refuse("recipient_not_allowed", .{
            "recipient ",                                sdk.quote(written), " of `", field, "` is not on the grant's lists; ",
            "use a listed one or ask for a wider grant",
        });
    }
}

noinline fn refuseAddress(field: []const u8, written: []const u8, answer: *sdk.Answer) sdk.Refused {
    return answer.refuse("address_invalid", .{
        "`", field, "` holds ", sdk.quote(written), ", which is no plain address; write `local@domain` alone, in ascii",
    });
}

fn checkSize(cap: *const Cap, mail: *const Mail, answer: *sdk.Answer) sdk.Refused!void {
    if (cap.max_attachments) |most| if (mail.attachments > most) return answer.refuse("max_attachments_exceeded", .{
        "the mail has ", mail.attachments, " attachments, above the grant's ", most, "; send fewer or ask for a wider grant",
    });
    const size = mail.bytes orelse return;
    if (cap.max_bytes) |most| if (size > most) return answer.refuse("max_bytes_exceeded", .{
        "bytes ", size, " is above the grant's ", most, "; send less at once or ask for a wider grant",
    });
}
