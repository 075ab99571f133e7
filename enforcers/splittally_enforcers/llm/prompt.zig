//! How many tokens a prompt may have at most, by the bytes of what is billed.
//!
//! 1. A token is at least one byte of text. Keys count, and so do the signs that a value takes when it is written as
//!    JSON; what a template adds to a message, to a request and to tools stands in the numbers below.
//! 2. A picture, a recording, a film or a document is no text: it counts by the grant's bound of its kind. Sound that
//!    lies in the request counts by its bytes.
//! 3. `{"$digest", "bytes", "tokens"}` stands for a long text and counts by `tokens`, else by `bytes`.
//! 4. Nothing recurses. What is looked at is work, as in `reading.zig`, and a call may do `work_max` of it.
//!
//!     {"role": "user", "content": "hi"}  →  8 + (4 + 3) + (4 + 3) + (7 + 3) + (2 + 3) = 37, and 128 for the request

const reading = @import("reading.zig");
const sdk = @import("splittally");
const startsWith = sdk.startsWith;
const Meanings = @import("names.zig").Table(Meaning);
const Kinds = @import("names.zig").Table(Kind);

const work_max = 70_000;
const depth_max = 64;
const request_tokens = 128; // what templates add to a request: a system text of their own, the head of the answer
const tools_tokens = 640; // and to one with tools
const map_tokens = 8; // a message, a part of one, a tool
const list_tokens = 3;
const text_tokens = 3; // quotes and a comma or colon
const number_tokens = 24; // the longest float
const sound_bytes = 8; // bytes of a recording for a token, in base64; 32 tokens a second at 6 kbit/s
const sound_tokens = 64;

/// What a grant counts for one of each; `hosted_tool` is a tool that the provider runs itself.
pub const Bounds = struct {
    picture: u64 = 16_384,
    audio: u64 = 131_072,
    video: u64 = 1_048_576,
    document: u64 = 262_144,
    hosted_tool: u64 = 16_384,
};

pub const Prompt = struct {
    tokens: u64 = 0,
    has_picture: bool = false,
    has_audio: bool = false,
    is_elsewhere: bool = false, // a part of it lies with the provider
    is_unsized: bool = false, // a digest without counts
};

/// What a value is; `unsaid` where nothing says that it is more than text.
const Kind = enum { unsaid, text, picture, audio, video, document };

/// What a key says of its value.
const Meaning = enum { nothing, type, mime, media, bytes, tokens, digest, source, picture, audio, video, document };

const meanings = [_]Meanings{
    .{ .meaning = .type, .names = &.{"type"} },
    .{ .meaning = .mime, .names = &.{ "media_type", "mimeType", "mime_type" } },
    .{ .meaning = .media, .names = &.{
        "data",         "url",    "uri",     "file_id",  "file_url", "fileUri",
        "file_uri",     "fileId", "fileUrl", "b64_json", "base64",   "audio_url",
        "document_url", "s3Uri",  "path",    "filepath", "image_id", "imageUrl",
    } },
    .{ .meaning = .bytes, .names = &.{"bytes"} },
    .{ .meaning = .tokens, .names = &.{"tokens"} },
    .{ .meaning = .digest, .names = &.{"$digest"} },
    .{ .meaning = .source, .names = &.{ "source", "s3Location", "s3_location" } },
    .{ .meaning = .picture, .names = &.{ "image", "images", "image_url", "input_image" } },
    .{ .meaning = .audio, .names = &.{ "audio", "input_audio" } },
    .{ .meaning = .video, .names = &.{ "video", "video_url", "input_video" } },
    .{ .meaning = .document, .names = &.{
        "document", "file", "fileData", "file_data", "inlineData", "inline_data", "input_file",
    } },
};

const kinds = [_]Kinds{
    .{ .meaning = .text, .names = &.{"text"} },
    .{ .meaning = .picture, .names = &.{ "image", "image_url", "input_image" } },
    .{ .meaning = .audio, .names = &.{ "audio", "input_audio", "audio_url" } },
    .{ .meaning = .video, .names = &.{ "video", "video_url", "input_video" } },
    .{ .meaning = .document, .names = &.{
        "document", "document_url", "file", "input_file", "container_upload",
    } },
};

/// A list or map that the scan is in. What it refers to is counted when its end says what that is.
const Frame = struct {
    owed: usize = undefined,
    media: usize = 0,
    media_bytes: usize = 0,
    kind: Kind = .unsaid,
    is_map: bool = undefined,
    is_remote: bool = false,
    is_digest: bool = false,
    has_bytes: bool = false,
    has_tokens: bool = false,
    bytes: u64 = undefined,
    tokens: u64 = undefined,
};

var work_left: usize = work_max;
var frames: [depth_max + 1]Frame = undefined;

/// Adds what all requests carry, and what those with tools do.
pub fn addTemplates(prompt: *Prompt, has_tools: bool) void {
    prompt.tokens +|= request_tokens;
    if (has_tools) prompt.tokens +|= tools_tokens;
}

/// Adds the value at `start` and gives its end. Like the skipping of values without the compiler's checks.
pub noinline fn add(prompt: *Prompt, bytes: []const u8, start: usize, bounds: *const Bounds) reading.Fault!usize {
    @setRuntimeSafety(false);
    const from = bytes.ptr;
    const end = bytes.len;
    var at = start;
    var depth: usize = 0;
    var frame = &frames[0];
    var owed: usize = 1;
    var is_map = false;
    var left = work_left;
    var tokens: u64 = 0;
    frame.* = .{};
    while (true) {
        while (owed == 0) {
            if (frame.is_digest or frame.media > 0) close(prompt, frame, bounds);
            if (depth == 0) {
                prompt.tokens +|= tokens;
                work_left = left;
                return at;
            }
            depth -= 1;
            frame = &frames[depth];
            owed = frame.owed;
            is_map = frame.is_map;
        }
        owed -= 1;
        if (left < 8) {
            work_left = 0;
            return error.TooMany;
        }
        left -= 2;
        var meaning: Meaning = .nothing;
        if (is_map) {
            left -= 1;
            if (at >= end) return error.Malformed;
            var size: usize = @as(usize, from[at]) -% 0x60;
            at += 1;
            if (size > 23) {
                if (size > 25 or end - at < 2) return error.Malformed; // no key is longer than 2^16 bytes
                const width = size - 23;
                size = @intCast(reading.argumentAt(from + at, width));
                at += width;
            }
            if (size > end - at) return error.Malformed;
            meaning = find(from + at, size);
            tokens += size + text_tokens;
            at += size;
        }
        if (at >= end) return error.Malformed;
        const first = from[at];
        at += 1;
        var argument: u64 = first & 31;
        if (argument > 23) {
            left -= 1;
            const width = @as(usize, 1) << @intCast(argument & 3);
            if (argument > 27 or end - at < width) return error.Malformed;
            argument = reading.argumentAt(from + at, width);
            at += width;
        }
        if (first < 0x40 or first >= 0xC0) {
            if (first >= 0xC0 and first < 0xE0) return error.Malformed;
            tokens += number_tokens;
            if (meaning != .nothing and first < 0x20) noteSize(frame, meaning, argument);
            continue;
        }
        if (argument > end - at) return error.Malformed;
        const size: usize = @intCast(argument);
        if (first < 0x80) {
            if (meaning == .nothing and (is_map or frame.kind == .unsaid)) {
                tokens += size + text_tokens;
            } else {
                left -= 3;
                addText(prompt, frame, meaning, is_map, from[at..][0..size]);
            }
            at += size;
            continue;
        }
        if (depth == depth_max) return error.TooMany;
        const kind = if (meaning == .nothing) .unsaid else kindWithin(frame, meaning);
        left -= 1;
        frame.owed = owed;
        frame.is_map = is_map;
        depth += 1;
        frame = &frames[depth];
        frame.* = .{ .kind = kind };
        is_map = first >= 0xA0;
        owed = size;
        tokens += if (is_map) map_tokens else list_tokens;
    }
}

noinline fn find(key: [*]const u8, size: usize) Meaning {
    @setRuntimeSafety(false);
    return Meanings.find(&meanings, key[0..size]) orelse .nothing;
}

noinline fn kindOf(name: []const u8) ?Kind {
    return Kinds.find(&kinds, name);
}

fn kindWithin(frame: *const Frame, meaning: Meaning) Kind {
    return switch (meaning) {
        .picture => .picture,
        .audio => .audio,
        .video => .video,
        .document => .document,
        .source => frame.kind,
        else => .unsaid,
    };
}

noinline fn addText(prompt: *Prompt, frame: *Frame, meaning: Meaning, is_map: bool, text: []const u8) void {
    switch (meaning) {
        .nothing => if (!is_map and frame.kind != .text) return refer(frame, text),
        .type => {
            if (kindOf(text)) |kind| frame.kind = kind;
            if (sdk.same(text, "item_reference")) prompt.is_elsewhere = true;
        },
        .mime => frame.kind = kindOfMime(text),
        .digest => frame.is_digest = true,
        .tokens, .source => {},
        else => return refer(frame, text),
    }
    prompt.tokens +|= text.len + text_tokens;
}

/// Notes what may be a picture or the like; `close` counts it, as text where nothing says so.
fn refer(frame: *Frame, text: []const u8) void {
    frame.media += 1;
    frame.media_bytes += text.len + text_tokens;
    if (startsWith(text, "data:")) {
        if (frame.kind != .unsaid) frame.kind = kindOfMime(text["data:".len..]);
    } else if (text.len < 64 or startsWith(text, "http")) frame.is_remote = true;
}

fn kindOfMime(mime: []const u8) Kind {
    if (startsWith(mime, "image/")) return .picture;
    if (startsWith(mime, "audio/")) return .audio;
    if (startsWith(mime, "video/")) return .video;
    return if (startsWith(mime, "text/")) .text else .document;
}

fn noteSize(frame: *Frame, meaning: Meaning, size: u64) void {
    switch (meaning) {
        .bytes => {
            frame.has_bytes = true;
            frame.bytes = size;
        },
        .tokens => {
            frame.has_tokens = true;
            frame.tokens = size;
        },
        else => {},
    }
}

noinline fn close(prompt: *Prompt, frame: *const Frame, bounds: *const Bounds) void {
    if (!frame.is_digest) return addMedia(prompt, frame.kind, frame.media, frame.media_bytes, frame.is_remote, bounds);
    if (frame.has_tokens) {
        prompt.tokens +|= frame.tokens;
        noteKind(prompt, frame.kind);
    } else if (frame.has_bytes) {
        addMedia(prompt, frame.kind, 1, frame.bytes, false, bounds);
    } else prompt.is_unsized = true;
}

fn addMedia(prompt: *Prompt, kind: Kind, count: u64, size: u64, is_remote: bool, bounds: *const Bounds) void {
    noteKind(prompt, kind);
    prompt.tokens +|= switch (kind) {
        .unsaid, .text => size,
        .picture => bounds.picture *| count,
        .audio => if (is_remote) bounds.audio *| count else size / sound_bytes +| sound_tokens,
        .video => bounds.video *| count,
        .document => bounds.document *| count,
    };
}

fn noteKind(prompt: *Prompt, kind: Kind) void {
    if (kind == .audio or kind == .video or kind == .document) prompt.has_audio = true;
    if (kind == .picture or kind == .video or kind == .document) prompt.has_picture = true;
}
