// The enforcer SDK for C, ABI version 1 (spec/03-abi.md): freestanding C11, one header, no library.
//
// An enforcer is one file that includes this header and defines `check` and `settle`; the guide is
// ../README.md. Both return whether they came to their end: `return tally_refuse(...)` is false, and
// false without a refusal is a trap, because a bug denies.
//
// 1. Integers only, no recursion, no allocation, no call through a pointer: admission refuses the rest.
// 2. A broken message from the host is a trap, because nobody could read an answer to it. Broken
//    params, cap params or payload are answered with a code and a message that names the field.
// 3. Text of others reaches a message only through `tally_quote` and `tally_list`: bounded, escaped.
// 4. What is read is read strictly: shortest heads, definite lengths, text keys ascending and once each.
//    What is skipped is bounded, not judged: the kernel sends canonical bytes only. A float is passed
//    over and never a number. `tally_walk` judges every byte.
// 5. Undefined behaviour and a full buffer are traps too, and a trap denies.
//
// `#define TALLY_CODEC_ONLY` before the include gives the reader and the writer alone.

#ifndef SPLITTALLY_H
#define SPLITTALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALLY_FN static __attribute__((unused))
#define TALLY_MUST_USE static __attribute__((unused, warn_unused_result))
#define TALLY_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TALLY_DIMS_MAX 64u
#define TALLY_DIM_BYTES_MAX 128u
#define TALLY_DEPTH_MAX 64u
#define TALLY_INPUT_BYTES_MAX (24u * 1024u)

// --- copying: what the compiler calls by itself, and must not do here ---------------------------------

typedef uint64_t tally_word __attribute__((aligned(1), may_alias));

__attribute__((visibility("hidden"), no_builtin("memcpy"))) void *memcpy(void *to, const void *from, size_t size) {
    uint8_t *target = to;
    const uint8_t *source = from;
    size_t at = 0;
    for (; size - at >= 8; at += 8) *(tally_word *)(target + at) = *(const tally_word *)(source + at);
    for (; at < size; at++) target[at] = source[at];
    return to;
}

__attribute__((visibility("hidden"), no_builtin("memset"))) void *memset(void *to, int value, size_t size) {
    uint8_t *target = to;
    for (size_t at = 0; at < size; at++) target[at] = (uint8_t)value;
    return to;
}

_Noreturn TALLY_FN void tally_trap(void) { __builtin_trap(); }

// --- texts -------------------------------------------------------------------------------------------

// A text or the content of a byte string; `bytes` is null where there is none.
typedef struct { const uint8_t *bytes; uint32_t size; } tally_text;

TALLY_FN tally_text tally_text_of(const char *literal) {
    uint32_t size = 0;
    while (literal[size] != 0) size++;
    return (tally_text){(const uint8_t *)literal, size};
}

#define TALLY_LITERAL(literal) {(const uint8_t *)(literal), sizeof(literal) - 1} // an initialiser

TALLY_FN tally_text tally_text_itself(tally_text text) { return text; }

// A literal or a `tally_text`, as a `tally_text`.
#define TALLY_TEXT(text) \
    _Generic((text), tally_text: tally_text_itself, char *: tally_text_of, const char *: tally_text_of)(text)

// Canonical order of texts: the shorter first, then bytewise. Below 0, 0, or above 0.
TALLY_FN int tally_order(tally_text a, tally_text b) {
    if (a.size != b.size) return a.size < b.size ? -1 : 1;
    uint32_t at = 0;
    while (a.size - at >= 8 && *(const tally_word *)(a.bytes + at) == *(const tally_word *)(b.bytes + at)) at += 8;
    while (at < a.size && a.bytes[at] == b.bytes[at]) at++;
    if (at == a.size) return 0;
    return a.bytes[at] < b.bytes[at] ? -1 : 1;
}

TALLY_FN bool tally_texts_equal(tally_text a, tally_text b) { return tally_order(a, b) == 0; }

TALLY_FN bool tally_text_starts(tally_text text, tally_text head) {
    return text.size >= head.size && tally_order((tally_text){text.bytes, head.size}, head) == 0;
}

TALLY_FN bool tally_text_ends(tally_text text, tally_text tail) {
    if (text.size < tail.size || tail.size == 0) return tail.size == 0;
    return tally_order((tally_text){text.bytes + (text.size - tail.size), tail.size}, tail) == 0;
}

#define tally_equal(a, b) tally_texts_equal(TALLY_TEXT(a), TALLY_TEXT(b))
#define tally_starts_with(text, head) tally_text_starts(TALLY_TEXT(text), TALLY_TEXT(head))
#define tally_ends_with(text, tail) tally_text_ends(TALLY_TEXT(text), TALLY_TEXT(tail))

typedef struct { uint32_t value; uint32_t size; } tally_point;

// The code point that the text begins with; size 0 when it begins with no UTF-8 (RFC 3629 section 4).
TALLY_FN tally_point tally_code_point(tally_text text) {
    const tally_point none = {0, 0};
    const uint8_t first = text.bytes[0];
    if (first < 0x80) return (tally_point){first, 1};
    if (first < 0xC2 || first > 0xF4) return none;
    const uint32_t size = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (text.size < size) return none;
    uint32_t value = first & (0x7Fu >> size);
    for (uint32_t at = 1; at < size; at++) {
        if ((text.bytes[at] & 0xC0) != 0x80) return none;
        value = value << 6 | (text.bytes[at] & 0x3Fu);
    }
    const uint32_t least = size == 2 ? 0x80 : size == 3 ? 0x800 : 0x10000;
    if (value < least || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return none;
    return (tally_point){value, size};
}

TALLY_FN bool tally_is_utf8(tally_text text) {
    while (text.size > 0) {
        const tally_point point = tally_code_point(text);
        if (point.size == 0) return false;
        text.bytes += point.size;
        text.size -= point.size;
    }
    return true;
}

// --- amounts -----------------------------------------------------------------------------------------

// Whether the sum or the product is below 2^64; `to` gets it then. `tally_add` and `tally_mul` trap instead.
TALLY_MUST_USE bool tally_fits_add(uint64_t a, uint64_t b, uint64_t *to) {
    return !__builtin_add_overflow(a, b, to);
}

TALLY_MUST_USE bool tally_fits_mul(uint64_t a, uint64_t b, uint64_t *to) {
    if (a != 0 && b > UINT64_MAX / a) return false;
    *to = a * b;
    return true;
}

TALLY_FN uint64_t tally_add(uint64_t a, uint64_t b) {
    uint64_t sum = 0;
    if (!tally_fits_add(a, b, &sum)) tally_trap();
    return sum;
}

TALLY_FN uint64_t tally_mul(uint64_t a, uint64_t b) {
    uint64_t product = 0;
    if (!tally_fits_mul(a, b, &product)) tally_trap();
    return product;
}

// --- reading -----------------------------------------------------------------------------------------

enum { TALLY_NATURAL, TALLY_NEGATIVE, TALLY_BYTES, TALLY_TEXTS, TALLY_LIST, TALLY_MAP, TALLY_TAG, TALLY_SIMPLE };
#define TALLY_ANY 8u // any major type
#define TALLY_NULL 22u // the argument of the simple values
#define TALLY_TRUE 21u
#define TALLY_FALSE 20u

typedef struct { const uint8_t *bytes; uint32_t size; uint32_t at; } tally_reader;

typedef struct { const uint8_t *bytes; uint32_t size; } tally_item; // one whole value, not looked into yet
typedef struct { tally_reader rest; uint32_t count; } tally_items; // a list of any values
typedef struct { tally_items items; } tally_texts; // a list whose every element was found to be a text
typedef struct { tally_items items; } tally_naturals; // a list of naturals
typedef struct { tally_reader rest; uint32_t count; } tally_map; // its keys found ascending
typedef struct { tally_map map; bool is_there; } tally_amounts; // dimensions and naturals fit for an answer
typedef struct { uint64_t value; bool is_there; } tally_maybe; // a natural, or none
typedef struct { tally_text key; tally_item value; } tally_entry;
typedef struct { uint32_t major; uint64_t argument; } tally_head;

TALLY_FN uint32_t tally_left(const tally_reader *reader) { return reader->size - reader->at; }

// The argument behind a head that is not short: in its shortest form, no tag, no indefinite length, no
// simple value but false, true and null. The bits of a float pass unread.
TALLY_MUST_USE bool tally_long_argument(tally_reader *reader, uint32_t first, uint64_t *argument) {
    const uint32_t info = first & 31;
    const bool is_simple = first >= 0xE0;
    if (first >> 5 == TALLY_TAG || info > 27) return false;
    if (is_simple && (info < 20 || info == 23 || info == 24)) return false;
    *argument = info;
    if (info < 24) return true;
    const uint32_t size = 1u << (info - 24);
    if (size > tally_left(reader)) return false;
    uint64_t read = 0;
    for (uint32_t i = 0; i < size; i++) read = read << 8 | reader->bytes[reader->at + i];
    const uint64_t least = size == 1 ? 24 : (uint64_t)1 << (4 * size);
    if (!is_simple && read < least) return false;
    reader->at += size;
    *argument = is_simple ? 0 : read;
    return true;
}

TALLY_MUST_USE bool tally_read_head(tally_reader *reader, tally_head *head) {
    if (reader->at >= reader->size) return false;
    const uint32_t first = reader->bytes[reader->at++];
    head->major = first >> 5;
    head->argument = first & 31;
    if (first < 0xC0 && head->argument < 24) return true;
    return tally_long_argument(reader, first, &head->argument);
}

TALLY_MUST_USE bool tally_read_argument(tally_reader *reader, uint32_t major, uint64_t *argument) {
    tally_head head;
    if (!tally_read_head(reader, &head) || head.major != major) return false;
    *argument = head.argument;
    return true;
}

TALLY_MUST_USE bool tally_take(tally_reader *reader, uint64_t size, tally_text *to) {
    if (size > tally_left(reader)) return false;
    *to = (tally_text){reader->bytes + reader->at, (uint32_t)size};
    reader->at += (uint32_t)size;
    return true;
}

TALLY_MUST_USE bool tally_read_natural(tally_reader *reader, uint64_t *to) {
    return tally_read_argument(reader, TALLY_NATURAL, to);
}

TALLY_MUST_USE bool tally_read_text(tally_reader *reader, tally_text *to) {
    uint64_t size;
    return tally_read_argument(reader, TALLY_TEXTS, &size) && tally_take(reader, size, to);
}

TALLY_MUST_USE bool tally_read_bytes(tally_reader *reader, tally_text *to) {
    uint64_t size;
    return tally_read_argument(reader, TALLY_BYTES, &size) && tally_take(reader, size, to);
}

TALLY_MUST_USE bool tally_read_boolean(tally_reader *reader, bool *to) {
    uint64_t argument;
    if (!tally_read_argument(reader, TALLY_SIMPLE, &argument)) return false;
    *to = argument == TALLY_TRUE;
    return argument == TALLY_TRUE || argument == TALLY_FALSE;
}

// How many elements or entries follow; each takes at least a byte, so more than are left is refused.
TALLY_MUST_USE bool tally_read_count(tally_reader *reader, uint32_t major, uint32_t *to) {
    uint64_t claimed;
    if (!tally_read_argument(reader, major, &claimed) || claimed > tally_left(reader)) return false;
    *to = (uint32_t)claimed;
    return true;
}

// Passes over exactly these bytes.
TALLY_MUST_USE bool tally_expect(tally_reader *reader, tally_text wanted) {
    tally_text found;
    return tally_take(reader, wanted.size, &found) && tally_order(found, wanted) == 0;
}

// Passes over one whole value, counting what is still owed in place of recursing.
TALLY_MUST_USE bool tally_skip(tally_reader *reader) {
    tally_head head;
    tally_text body;
    for (uint32_t owed = 1; owed > 0; owed--) {
        if (!tally_read_head(reader, &head)) return false;
        if (head.major < TALLY_BYTES || head.major > TALLY_MAP) continue;
        if (head.argument > tally_left(reader)) return false;
        if (head.major < TALLY_LIST && !tally_take(reader, head.argument, &body)) return false;
        if (head.major == TALLY_LIST) owed += (uint32_t)head.argument;
        if (head.major == TALLY_MAP) owed += 2 * (uint32_t)head.argument;
    }
    return true;
}

TALLY_MUST_USE bool tally_read_item(tally_reader *reader, tally_item *to) {
    const uint32_t start = reader->at;
    if (!tally_skip(reader)) return false;
    *to = (tally_item){reader->bytes + start, reader->at - start};
    return true;
}

TALLY_FN bool tally_is_at(const tally_reader *reader, uint32_t major) {
    return tally_left(reader) > 0 && reader->bytes[reader->at] >> 5 == major;
}

// A list whose elements are all of one major type, or of any with `TALLY_ANY`.
TALLY_MUST_USE bool tally_read_items(tally_reader *reader, uint32_t major, tally_items *to) {
    uint32_t count;
    if (!tally_read_count(reader, TALLY_LIST, &count)) return false;
    *to = (tally_items){*reader, count};
    for (; count > 0; count--) {
        if (major != TALLY_ANY && !tally_is_at(reader, major)) return false;
        if (!tally_skip(reader)) return false;
    }
    return true;
}

// A text key, behind `last` in canonical order; `last` is null before the first.
TALLY_MUST_USE bool tally_read_key(tally_reader *reader, tally_text *last) {
    tally_text key;
    if (!tally_read_text(reader, &key)) return false;
    if (last->bytes && tally_order(*last, key) >= 0) return false;
    *last = key;
    return true;
}

TALLY_MUST_USE bool tally_read_map(tally_reader *reader, tally_map *to) {
    uint32_t count;
    if (!tally_read_count(reader, TALLY_MAP, &count)) return false;
    *to = (tally_map){*reader, count};
    tally_text last = {0};
    for (; count > 0; count--)
        if (!tally_read_key(reader, &last) || !tally_skip(reader)) return false;
    return true;
}

// --- looking into values -----------------------------------------------------------------------------

TALLY_FN tally_reader tally_inside(tally_item item) { return (tally_reader){item.bytes, item.size, 0}; }

// Each of these is false, and `to` of no use, when the value is of another type or is not there.
TALLY_MUST_USE bool tally_item_natural(tally_item item, uint64_t *to) {
    tally_reader inside = tally_inside(item);
    return tally_read_natural(&inside, to);
}

TALLY_MUST_USE bool tally_item_integer(tally_item item, int64_t *to) {
    tally_reader inside = tally_inside(item);
    tally_head head;
    if (!tally_read_head(&inside, &head) || head.argument >> 63 != 0) return false;
    *to = head.major == TALLY_NATURAL ? (int64_t)head.argument : -1 - (int64_t)head.argument;
    return head.major == TALLY_NATURAL || head.major == TALLY_NEGATIVE;
}

TALLY_MUST_USE bool tally_item_text(tally_item item, tally_text *to) {
    tally_reader inside = tally_inside(item);
    return tally_read_text(&inside, to);
}

TALLY_MUST_USE bool tally_item_bytes(tally_item item, tally_text *to) {
    tally_reader inside = tally_inside(item);
    return tally_read_bytes(&inside, to);
}

TALLY_MUST_USE bool tally_item_map(tally_item item, tally_map *to) {
    tally_reader inside = tally_inside(item);
    return tally_read_map(&inside, to);
}

TALLY_MUST_USE bool tally_item_texts(tally_item item, tally_texts *to) {
    tally_reader inside = tally_inside(item);
    return tally_read_items(&inside, TALLY_TEXTS, &to->items);
}

TALLY_MUST_USE bool tally_item_naturals(tally_item item, tally_naturals *to) {
    tally_reader inside = tally_inside(item);
    return tally_read_items(&inside, TALLY_NATURAL, &to->items);
}

// The next of a list or map; false behind the last. They were looked through, so a misfit is a bug.
TALLY_FN bool tally_next_item(tally_items *items, tally_item *to) {
    if (items->count == 0) return false;
    items->count--;
    if (!tally_read_item(&items->rest, to)) tally_trap();
    return true;
}

TALLY_FN bool tally_next_text(tally_texts *texts, tally_text *to) {
    if (texts->items.count == 0) return false;
    texts->items.count--;
    if (!tally_read_text(&texts->items.rest, to)) tally_trap();
    return true;
}

TALLY_FN bool tally_next_natural(tally_naturals *naturals, uint64_t *to) {
    if (naturals->items.count == 0) return false;
    naturals->items.count--;
    if (!tally_read_natural(&naturals->items.rest, to)) tally_trap();
    return true;
}

TALLY_FN bool tally_next_entry(tally_map *map, tally_entry *to) {
    if (map->count == 0) return false;
    map->count--;
    if (!tally_read_text(&map->rest, &to->key) || !tally_read_item(&map->rest, &to->value)) tally_trap();
    return true;
}

// The value of a key; its `bytes` are null when the map has no such key.
TALLY_FN tally_item tally_find_text(tally_map map, tally_text key) {
    tally_entry entry;
    while (tally_next_entry(&map, &entry))
        if (tally_order(entry.key, key) == 0) return entry.value;
    return (tally_item){0};
}

#define tally_find(map, key) tally_find_text(map, TALLY_TEXT(key))

TALLY_FN bool tally_list_has(tally_texts texts, tally_text name) {
    tally_text listed;
    while (tally_next_text(&texts, &listed))
        if (tally_order(listed, name) == 0) return true;
    return false;
}

// An empty list restricts nothing.
TALLY_FN bool tally_list_allows(tally_texts texts, tally_text name) {
    return texts.items.count == 0 || tally_list_has(texts, name);
}

TALLY_FN bool tally_naturals_allow(tally_naturals naturals, uint64_t wanted) {
    if (naturals.items.count == 0) return true;
    uint64_t listed;
    while (tally_next_natural(&naturals, &listed))
        if (listed == wanted) return true;
    return false;
}

#define tally_texts_have(texts, name) tally_list_has(texts, TALLY_TEXT(name))
#define tally_texts_allow(texts, name) tally_list_allows(texts, TALLY_TEXT(name))

// Whether `name` may name a dimension in an answer: 1 to 128 bytes of UTF-8.
TALLY_FN bool tally_is_dimension(tally_text name) {
    return name.size > 0 && name.size <= TALLY_DIM_BYTES_MAX && tally_is_utf8(name);
}

TALLY_MUST_USE bool tally_read_amounts(tally_reader *reader, tally_amounts *to) {
    if (!tally_read_map(reader, &to->map) || to->map.count > TALLY_DIMS_MAX) return false;
    tally_map rest = to->map;
    tally_entry entry;
    uint64_t amount;
    while (tally_next_entry(&rest, &entry))
        if (!tally_is_dimension(entry.key) || !tally_item_natural(entry.value, &amount)) return false;
    to->is_there = true;
    return true;
}

// --- judging every byte ------------------------------------------------------------------------------

typedef struct { tally_text last; uint32_t owed; bool is_map; } tally_level;

// One value after the other of a whole one, lists and maps before what they hold.
typedef struct {
    tally_reader reader;
    uint32_t depth;
    tally_level levels[TALLY_DEPTH_MAX + 1];
} tally_walk;

// `bytes` are the content of a text or byte string, or the bits of a float.
typedef struct { tally_text bytes; uint64_t argument; uint32_t major; bool is_key; } tally_token;

enum { TALLY_TOKEN, TALLY_END, TALLY_MALFORMED };

TALLY_FN void tally_walk_into(tally_walk *walk, tally_text bytes) {
    walk->reader = (tally_reader){bytes.bytes, bytes.size, 0};
    walk->depth = 0;
    walk->levels[0] = (tally_level){.owed = 1};
}

TALLY_MUST_USE bool tally_walk_down(tally_walk *walk, const tally_token *token) {
    const bool is_map = token->major == TALLY_MAP;
    if (token->argument > tally_left(&walk->reader) || walk->depth == TALLY_DEPTH_MAX) return false;
    const uint32_t owed = (uint32_t)token->argument;
    walk->levels[++walk->depth] = (tally_level){.owed = is_map ? 2 * owed : owed, .is_map = is_map};
    return true;
}

TALLY_MUST_USE bool tally_walk_text(tally_level *level, const tally_token *token) {
    if (!tally_is_utf8(token->bytes)) return false;
    if (!token->is_key) return true;
    if (level->last.bytes && tally_order(level->last, token->bytes) >= 0) return false;
    level->last = token->bytes;
    return true;
}

// `TALLY_TOKEN` with the next token, `TALLY_END` behind the whole value, or `TALLY_MALFORMED` where the
// bytes are not canonical: spec/01-canonical-form.md, but for the bits of floats, which are not judged.
TALLY_MUST_USE int tally_walk_next(tally_walk *walk, tally_token *token) {
    while (walk->levels[walk->depth].owed == 0) {
        if (walk->depth == 0) return tally_left(&walk->reader) == 0 ? TALLY_END : TALLY_MALFORMED;
        walk->depth--;
    }
    tally_level *level = &walk->levels[walk->depth];
    token->is_key = level->is_map && level->owed % 2 == 0;
    level->owed--;
    tally_head head;
    const uint32_t start = walk->reader.at;
    if (!tally_read_head(&walk->reader, &head)) return TALLY_MALFORMED;
    *token = (tally_token){.argument = head.argument, .major = head.major, .is_key = token->is_key};
    bool fits = !token->is_key || head.major == TALLY_TEXTS;
    if (head.major == TALLY_NEGATIVE) fits &= head.argument >> 63 == 0;
    if (head.major == TALLY_BYTES) fits &= tally_take(&walk->reader, head.argument, &token->bytes);
    if (head.major == TALLY_TEXTS)
        fits &= tally_take(&walk->reader, head.argument, &token->bytes) && tally_walk_text(level, token);
    if (head.major == TALLY_LIST || head.major == TALLY_MAP) fits &= tally_walk_down(walk, token);
    if (head.major == TALLY_SIMPLE)
        token->bytes = (tally_text){walk->reader.bytes + start + 1, walk->reader.at - start - 1};
    return fits ? TALLY_TOKEN : TALLY_MALFORMED;
}

// The bytes of all texts and byte strings that stand as values inside; keys of maps do not count. False
// when it is nested deeper than the data model allows. Texts are not judged here, as where they are skipped.
TALLY_MUST_USE bool tally_content_bytes(tally_item item, uint64_t *to) {
    static tally_walk walk;
    tally_walk_into(&walk, (tally_text){item.bytes, item.size});
    *to = 0;
    while (true) {
        while (walk.levels[walk.depth].owed == 0) {
            if (walk.depth == 0) return true;
            walk.depth--;
        }
        tally_level *level = &walk.levels[walk.depth];
        const bool is_key = level->is_map && level->owed % 2 == 0;
        level->owed--;
        tally_head head;
        tally_text body;
        if (!tally_read_head(&walk.reader, &head)) return false;
        const tally_token token = {.argument = head.argument, .major = head.major};
        if (head.major == TALLY_LIST || head.major == TALLY_MAP) {
            if (!tally_walk_down(&walk, &token)) return false;
        } else if (head.major == TALLY_BYTES || head.major == TALLY_TEXTS) {
            if (!tally_take(&walk.reader, head.argument, &body)) return false;
            if (!is_key) *to += head.argument;
        }
    }
}

// --- writing -----------------------------------------------------------------------------------------

// Writes canonical values one after the other; the order of keys is the caller's. A full buffer is a trap.
typedef struct { uint8_t *bytes; uint32_t room; uint32_t size; } tally_writer;

TALLY_FN void tally_write_raw(tally_writer *writer, tally_text bytes) {
    if (bytes.size > writer->room - writer->size) tally_trap();
    memcpy(writer->bytes + writer->size, bytes.bytes, bytes.size);
    writer->size += bytes.size;
}

TALLY_FN void tally_write_byte(tally_writer *writer, uint32_t byte) {
    if (writer->size >= writer->room) tally_trap();
    writer->bytes[writer->size++] = (uint8_t)byte;
}

// A head in its shortest form.
TALLY_FN void tally_write_head(tally_writer *writer, uint32_t major, uint64_t argument) {
    if (argument < 24) {
        tally_write_byte(writer, major << 5 | (uint32_t)argument);
        return;
    }
    const uint32_t log = argument < 1ull << 8 ? 0 : argument < 1ull << 16 ? 1 : argument < 1ull << 32 ? 2 : 3;
    tally_write_byte(writer, major << 5 | (24 + log));
    for (uint32_t left = 8u << log; left > 0; left -= 8)
        tally_write_byte(writer, (uint32_t)(argument >> (left - 8)) & 0xFF);
}

TALLY_FN void tally_write_natural(tally_writer *writer, uint64_t value) {
    tally_write_head(writer, TALLY_NATURAL, value);
}

TALLY_FN void tally_write_integer(tally_writer *writer, int64_t value) {
    if (value >= 0) tally_write_head(writer, TALLY_NATURAL, (uint64_t)value);
    else tally_write_head(writer, TALLY_NEGATIVE, (uint64_t)(-1 - value));
}

TALLY_FN void tally_write_text_value(tally_writer *writer, tally_text text) {
    tally_write_head(writer, TALLY_TEXTS, text.size);
    tally_write_raw(writer, text);
}

#define tally_write_text(writer, text) tally_write_text_value(writer, TALLY_TEXT(text))

TALLY_FN void tally_write_bytes(tally_writer *writer, tally_text bytes) {
    tally_write_head(writer, TALLY_BYTES, bytes.size);
    tally_write_raw(writer, bytes);
}

TALLY_FN void tally_write_list(tally_writer *writer, uint32_t count) { tally_write_head(writer, TALLY_LIST, count); }
TALLY_FN void tally_write_map(tally_writer *writer, uint32_t count) { tally_write_head(writer, TALLY_MAP, count); }
TALLY_FN void tally_write_null(tally_writer *writer) { tally_write_byte(writer, 0xF6); }
TALLY_FN void tally_write_boolean(tally_writer *writer, bool value) { tally_write_byte(writer, value ? 0xF5 : 0xF4); }

// A token of a walk, which may be a float: its bits as they were.
TALLY_FN void tally_write_token(tally_writer *writer, const tally_token *token) {
    if (token->major != TALLY_SIMPLE) tally_write_head(writer, token->major, token->argument);
    else if (token->bytes.size == 0) tally_write_byte(writer, 0xE0 | (uint32_t)token->argument);
    else tally_write_byte(writer, token->bytes.size == 2 ? 0xF9 : token->bytes.size == 4 ? 0xFA : 0xFB);
    tally_write_raw(writer, token->bytes);
}

#ifndef TALLY_CODEC_ONLY

// --- the question ------------------------------------------------------------------------------------

enum tally_status { TALLY_OK, TALLY_ERROR, TALLY_TIMEOUT };

typedef struct {
    enum tally_status status;
    tally_text payload;
    tally_maybe cost_cents;
} tally_receipt;

// What an author defines. True when the judgement came to its end, false when it refused.
static bool check(void);
static bool settle(const tally_receipt *receipt);

static struct {
    tally_text kind, cap_params, effect_params;
    tally_item now;
    tally_map reserve; // empty in a Check
} tally_asked;

// The intent's kind.
TALLY_FN tally_text tally_kind(void) { return tally_asked.kind; }

// The logical time of the Check, in nanoseconds since 1970; the Settle is given the same.
TALLY_FN uint64_t tally_now_ns(void) {
    uint64_t now = 0;
    if (!tally_item_natural(tally_asked.now, &now)) tally_trap();
    return now;
}

TALLY_FN uint64_t tally_reserved_for(tally_text dim) {
    uint64_t amount;
    return tally_item_natural(tally_find_text(tally_asked.reserve, dim), &amount) ? amount : 0;
}

// What the Check reserved for a dimension, 0 when it reserved nothing.
#define tally_reserved(dim) tally_reserved_for(TALLY_TEXT(dim))

// --- text of others in messages ----------------------------------------------------------------------

#define TALLY_MESSAGE_BYTES_MAX 512u
#define TALLY_QUOTED_BYTES_MAX 64u
#define TALLY_LISTED_MAX 4u // so that a message with a list and two quotations more stays within its bytes

typedef struct { tally_text dim; uint64_t amount; } tally_amount;

static struct {
    tally_amount amounts[TALLY_DIMS_MAX];
    uint32_t count;
    tally_text code; // none while nothing is refused or noted
    tally_writer message;
} tally_answer;

static uint8_t tally_message_bytes[TALLY_MESSAGE_BYTES_MAX];

// The code points that a reader sees as what they are, as ranges in ascending order.
static const uint32_t tally_plain[][2] = {
    {0x20, 0x21}, {0x23, 0x26}, {0x28, 0x5B}, {0x5D, 0x5F}, {0x61, 0x7E}, {0xA1, 0xAC}, {0xAE, 0x34E},
    {0x350, 0x61B}, {0x61D, 0x115E}, {0x1161, 0x167F}, {0x1681, 0x17B3}, {0x17B6, 0x180A}, {0x1810, 0x1FFF},
    {0x2010, 0x2027}, {0x2030, 0x205E}, {0x2070, 0x2FFF}, {0x3001, 0x3163}, {0x3165, 0xD7FF},
    {0xF900, 0xFDFF}, {0xFE10, 0xFEFE}, {0xFF00, 0xFF9F}, {0xFFA1, 0xFFEF}, {0x10000, 0x1BC9F},
    {0x1BCA4, 0x1D172}, {0x1D17B, 0xDFFFF},
};

TALLY_FN bool tally_is_plain(uint32_t point) {
    for (uint32_t at = 0; at < TALLY_COUNT(tally_plain); at++)
        if (point <= tally_plain[at][1]) return point >= tally_plain[at][0];
    return false;
}

// The value in hexadecimal, two digits at least.
TALLY_FN void tally_write_hex(tally_writer *to, uint32_t value) {
    for (uint32_t shift = 24; shift > 0;) {
        shift -= 4;
        if (shift > 4 && value >> shift == 0) continue;
        tally_write_byte(to, (uint32_t) "0123456789abcdef"[value >> shift & 15]);
    }
}

// The code point as it is seen, escaped as `\u{202e}`, or its first byte as `\xff` where it is no UTF-8.
TALLY_FN uint32_t tally_write_unit(tally_writer *to, tally_text text) {
    const tally_point point = tally_code_point(text);
    if (point.size == 0) {
        tally_write_raw(to, TALLY_TEXT("\\x"));
        tally_write_hex(to, text.bytes[0]);
        return 1;
    }
    if (tally_is_plain(point.value)) {
        tally_write_raw(to, (tally_text){text.bytes, point.size});
        return point.size;
    }
    tally_write_raw(to, TALLY_TEXT("\\u{"));
    tally_write_hex(to, point.value);
    tally_write_raw(to, TALLY_TEXT("}"));
    return point.size;
}

// At most 64 bytes between backticks; a cut falls between code points and shows as an ellipsis.
TALLY_FN void tally_write_quoted(tally_writer *to, tally_text text) {
    uint8_t bytes[10];
    const uint32_t end = to->size + 1 + TALLY_QUOTED_BYTES_MAX - 3;
    tally_write_byte(to, '`');
    while (text.size > 0) {
        tally_writer unit = {bytes, sizeof bytes, 0};
        const uint32_t used = tally_write_unit(&unit, text);
        if (to->size + unit.size > end) {
            tally_write_raw(to, TALLY_TEXT("\xE2\x80\xA6"));
            break;
        }
        tally_write_raw(to, (tally_text){bytes, unit.size});
        text.bytes += used;
        text.size -= used;
    }
    tally_write_byte(to, '`');
}

TALLY_FN void tally_write_number(tally_writer *to, uint64_t natural) {
    uint8_t digits[20];
    uint32_t at = sizeof digits;
    do digits[--at] = (uint8_t)('0' + natural % 10);
    while ((natural /= 10) > 0);
    tally_write_raw(to, (tally_text){digits + at, sizeof digits - at});
}

// The first few, and how many more there are.
TALLY_FN void tally_write_listed(tally_writer *to, tally_texts texts) {
    tally_text listed;
    for (uint32_t at = 0; at < TALLY_LISTED_MAX && tally_next_text(&texts, &listed); at++) {
        if (at > 0) tally_write_raw(to, TALLY_TEXT(", "));
        tally_write_quoted(to, listed);
    }
    if (texts.items.count == 0) return;
    tally_write_raw(to, TALLY_TEXT(" and "));
    tally_write_number(to, texts.items.count);
    tally_write_raw(to, TALLY_TEXT(" more"));
}

// --- refusals and violations -------------------------------------------------------------------------

typedef struct { tally_text text; } tally_quoted;
typedef struct { tally_texts texts; } tally_listed;
typedef struct { tally_text text; tally_texts texts; uint64_t number; uint32_t kind; } tally_part;
enum { TALLY_PART_END, TALLY_PART_LITERAL, TALLY_PART_QUOTED, TALLY_PART_LISTED, TALLY_PART_NUMBER };

TALLY_FN tally_quoted tally_quote_text(tally_text text) { return (tally_quoted){text}; }
#define tally_quote(text) tally_quote_text(TALLY_TEXT(text)) // text of others, to stand in a message
TALLY_FN tally_listed tally_list(tally_texts texts) { return (tally_listed){texts}; }

TALLY_FN tally_part tally_part_literal(const char *text) {
    return (tally_part){.kind = TALLY_PART_LITERAL, .text = tally_text_of(text)};
}
TALLY_FN tally_part tally_part_quoted(tally_quoted quoted) {
    return (tally_part){.kind = TALLY_PART_QUOTED, .text = quoted.text};
}
TALLY_FN tally_part tally_part_listed(tally_listed listed) {
    return (tally_part){.kind = TALLY_PART_LISTED, .texts = listed.texts};
}
TALLY_FN tally_part tally_part_number(uint64_t number) {
    return (tally_part){.kind = TALLY_PART_NUMBER, .number = number};
}

#define TALLY_PART(part) \
    _Generic((part), char *: tally_part_literal, const char *: tally_part_literal, \
        tally_quoted: tally_part_quoted, tally_listed: tally_part_listed, \
        unsigned: tally_part_number, unsigned long: tally_part_number, uint64_t: tally_part_number)(part)
#define TALLY_PARTS_1(a) TALLY_PART(a)
#define TALLY_PARTS_2(a, ...) TALLY_PART(a), TALLY_PARTS_1(__VA_ARGS__)
#define TALLY_PARTS_3(a, ...) TALLY_PART(a), TALLY_PARTS_2(__VA_ARGS__)
#define TALLY_PARTS_4(a, ...) TALLY_PART(a), TALLY_PARTS_3(__VA_ARGS__)
#define TALLY_PARTS_5(a, ...) TALLY_PART(a), TALLY_PARTS_4(__VA_ARGS__)
#define TALLY_PARTS_6(a, ...) TALLY_PART(a), TALLY_PARTS_5(__VA_ARGS__)
#define TALLY_PARTS_7(a, ...) TALLY_PART(a), TALLY_PARTS_6(__VA_ARGS__)
#define TALLY_PARTS_8(a, ...) TALLY_PART(a), TALLY_PARTS_7(__VA_ARGS__)
#define TALLY_PARTS_9(a, ...) TALLY_PART(a), TALLY_PARTS_8(__VA_ARGS__)
#define TALLY_PICK(a, b, c, d, e, f, g, h, i, name, ...) TALLY_PARTS_##name
#define TALLY_PARTS(...) \
    ((const tally_part[]){TALLY_PICK(__VA_ARGS__, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)(__VA_ARGS__), {.kind = 0}})

// The first stays; a later one is not reported.
TALLY_FN void tally_say(const char *code, const tally_part *parts) {
    if (tally_answer.code.size > 0) return;
    tally_answer.code = tally_text_of(code);
    tally_writer *to = &tally_answer.message;
    for (; parts->kind != TALLY_PART_END; parts++) {
        if (parts->kind == TALLY_PART_LITERAL) tally_write_raw(to, parts->text);
        if (parts->kind == TALLY_PART_QUOTED) tally_write_quoted(to, parts->text);
        if (parts->kind == TALLY_PART_LISTED) tally_write_listed(to, parts->texts);
        if (parts->kind == TALLY_PART_NUMBER) tally_write_number(to, parts->number);
    }
}

// `tally_refuse(code, parts...)` ends the judgement: a deny at Check, a violation at Settle. The parts are
// literals of the enforcer's own, naturals, `tally_quote`d texts and `tally_list`s of texts of others, at
// most 9. `tally_note` notes a violation and goes on.
#define tally_refuse(code, ...) (tally_say(code, TALLY_PARTS(__VA_ARGS__)), false)
#define tally_note(code, ...) tally_say(code, TALLY_PARTS(__VA_ARGS__))

// Whether the intent's kind is one of `kinds`; refuses `effect_kind_mismatch` otherwise.
TALLY_MUST_USE bool tally_kind_among(uint32_t count, const char *const *kinds) {
    for (uint32_t at = 0; at < count; at++)
        if (tally_equal(tally_asked.kind, kinds[at])) return true;
    return tally_refuse(
        "effect_kind_mismatch", "this grant's enforcer does not judge ", tally_quote(tally_asked.kind),
        "; use a grant whose cap covers that kind");
}

#define TALLY_NAMES(...) ((const char *const[]){__VA_ARGS__})
#define tally_kind_in(...) tally_kind_among(TALLY_COUNT(TALLY_NAMES(__VA_ARGS__)), TALLY_NAMES(__VA_ARGS__))

// --- amounts -----------------------------------------------------------------------------------------

TALLY_FN void tally_put_amount(tally_text dim, uint64_t amount) {
    if (tally_answer.count == TALLY_DIMS_MAX) tally_trap();
    uint32_t at = tally_answer.count++;
    for (; at > 0 && tally_order(dim, tally_answer.amounts[at - 1].dim) < 0; at--)
        tally_answer.amounts[at] = tally_answer.amounts[at - 1];
    tally_answer.amounts[at] = (tally_amount){dim, amount};
}

TALLY_FN void tally_exceed(tally_text dim, uint64_t usage, uint64_t reserve) {
    tally_note(
        "usage_exceeds_reserve", "usage of ", tally_quote(dim), " is ", usage, ", above the reserve of ", reserve);
}

TALLY_FN void tally_use_amount(tally_text dim, uint64_t amount) {
    const uint64_t reserve = tally_reserved_for(dim);
    if (reserve > 0 && amount > reserve) tally_exceed(dim, amount, reserve);
    tally_put_amount(dim, amount);
}

// Gives an amount to a dimension that has none yet.
#define tally_put(dim, amount) tally_put_amount(TALLY_TEXT(dim), amount)
// Reports usage, and the violation `usage_exceeds_reserve` where it passes a reserve above 0.
#define tally_use(dim, amount) tally_use_amount(TALLY_TEXT(dim), amount)
// Notes the violation `usage_exceeds_reserve`, whatever was reserved.
#define tally_exceeds(dim, usage, reserve) tally_exceed(TALLY_TEXT(dim), usage, reserve)

TALLY_FN void tally_put_all(tally_amounts amounts) {
    tally_entry entry;
    uint64_t amount = 0;
    while (tally_next_entry(&amounts.map, &entry))
        if (tally_item_natural(entry.value, &amount)) tally_put_amount(entry.key, amount);
}

TALLY_FN void tally_use_all(tally_amounts amounts) {
    tally_entry entry;
    uint64_t amount = 0;
    while (tally_next_entry(&amounts.map, &entry))
        if (tally_item_natural(entry.value, &amount)) tally_use_amount(entry.key, amount);
}

// --- structs read from maps --------------------------------------------------------------------------

// Where a value comes from decides the code of a misfit and how strictly its names are read.
typedef enum { TALLY_CAP, TALLY_OPEN_CAP, TALLY_PARAMS, TALLY_RECEIPT } tally_source;

typedef enum {
    TALLY_KIND_NATURAL, TALLY_KIND_MAYBE, TALLY_KIND_TEXT, TALLY_KIND_BOOLEAN, TALLY_KIND_ITEM,
    TALLY_KIND_ITEMS, TALLY_KIND_TEXTS, TALLY_KIND_NATURALS, TALLY_KIND_MAP, TALLY_KIND_AMOUNTS,
} tally_field_kind;

typedef struct {
    tally_text name;
    tally_field_kind kind;
    uint16_t offset, whole; // where it stands in its struct, and the size of that
    bool is_required;
} tally_field;

#define TALLY_KIND(value) \
    _Generic((value), uint64_t: TALLY_KIND_NATURAL, tally_maybe: TALLY_KIND_MAYBE, tally_text: TALLY_KIND_TEXT, \
        bool: TALLY_KIND_BOOLEAN, tally_item: TALLY_KIND_ITEM, tally_items: TALLY_KIND_ITEMS, \
        tally_texts: TALLY_KIND_TEXTS, tally_naturals: TALLY_KIND_NATURALS, tally_map: TALLY_KIND_MAP, \
        tally_amounts: TALLY_KIND_AMOUNTS)
#define TALLY_FIELD(type, field, required) \
    {.name = TALLY_LITERAL(#field), .kind = TALLY_KIND(((type *)0)->field), .offset = offsetof(type, field), \
     .whole = sizeof(type), .is_required = required}

// A row of a table of fields. What the struct holds before it is read are the defaults.
#define TALLY_REQUIRED(type, field) TALLY_FIELD(type, field, true)
#define TALLY_OPTIONAL(type, field) TALLY_FIELD(type, field, false)

static const char *const tally_codes[] = {
    "cap_params_invalid", "cap_params_invalid", "params_invalid", "receipt_unreadable",
};
static const char *const tally_nouns[] = {"the cap params", "the cap params", "the params", "the receipt's payload"};
static const char *const tally_expected[] = {
    "a natural number below 2^64", "a natural number below 2^64", "a text", "true or false", "a value", "a list",
    "a list of texts", "a list of natural numbers below 2^64", "a map",
    "a map from at most 64 dimensions to natural numbers below 2^64",
};

TALLY_FN bool tally_unreadable(tally_source source) {
    return tally_refuse(tally_codes[source], tally_nouns[source], " must be a map in canonical CBOR");
}

TALLY_FN bool tally_misfit(tally_source source, const char *path, const char *name, const char *expected) {
    if (path[0] == 0 && name[0] == 0) return tally_unreadable(source);
    const char *dot = path[0] != 0 && name[0] != 0 ? "." : "";
    return tally_refuse(
        tally_codes[source], "field `", path, dot, name, "` of ", tally_nouns[source], " must be ", expected);
}

// For a field of the intent's params that an enforcer looks at itself.
#define tally_misfit_params(field, expected) tally_misfit(TALLY_PARAMS, "", field, expected)

TALLY_FN bool tally_unknown(const char *path, tally_text key) {
    return tally_refuse(
        "cap_params_invalid", "the grant's ", path[0] != 0 ? path : "cap params", " hold ", tally_quote(key),
        ", which this enforcer does not know; correct the name or take it out");
}

// A cap param whose name begins with `x-` is its author's own note and is passed over.
TALLY_FN bool tally_is_private(tally_text key) {
    return key.size > 2 && key.bytes[0] == 'x' && key.bytes[1] == '-';
}

TALLY_MUST_USE bool tally_read_maybe(tally_reader *reader, tally_maybe *to) {
    to->is_there = tally_read_natural(reader, &to->value);
    return to->is_there;
}

TALLY_MUST_USE bool tally_read_field(tally_reader *reader, tally_field_kind kind, void *to) {
    switch (kind) {
    case TALLY_KIND_NATURAL: return tally_read_natural(reader, to);
    case TALLY_KIND_MAYBE: return tally_read_maybe(reader, to);
    case TALLY_KIND_TEXT: return tally_read_text(reader, to);
    case TALLY_KIND_BOOLEAN: return tally_read_boolean(reader, to);
    case TALLY_KIND_ITEM: return tally_read_item(reader, to);
    case TALLY_KIND_ITEMS: return tally_read_items(reader, TALLY_ANY, to);
    case TALLY_KIND_TEXTS: return tally_read_items(reader, TALLY_TEXTS, &((tally_texts *)to)->items);
    case TALLY_KIND_NATURALS: return tally_read_items(reader, TALLY_NATURAL, &((tally_naturals *)to)->items);
    case TALLY_KIND_MAP: return tally_read_map(reader, to);
    case TALLY_KIND_AMOUNTS: return tally_read_amounts(reader, to);
    }
    tally_trap();
}

typedef struct {
    const tally_field *fields[TALLY_DIMS_MAX]; // in canonical order of their names
    uint32_t count, at; // those before `at` were met or passed
} tally_plan;

TALLY_FN void tally_sort(tally_plan *plan, const tally_field *fields, uint32_t count, uint32_t whole) {
    if (count > TALLY_COUNT(plan->fields)) tally_trap();
    for (uint32_t i = 0; i < count; i++) {
        if (fields[i].whole != whole) tally_trap(); // a table of another struct
        uint32_t at = i;
        for (; at > 0; at--) {
            if (tally_order(fields[i].name, plan->fields[at - 1]->name) >= 0) break;
            plan->fields[at] = plan->fields[at - 1];
        }
        plan->fields[at] = &fields[i];
    }
    plan->count = count;
    plan->at = 0;
}

// Goes on to the field of this name, or to the one it would stand before; null where there is none or
// where a required one is passed, which `missing` gets.
TALLY_FN const tally_field *tally_meet(tally_plan *plan, tally_text key, const tally_field **missing) {
    for (; plan->at < plan->count; plan->at++) {
        const tally_field *field = plan->fields[plan->at];
        const int place = tally_order(field->name, key);
        if (place >= 0) return place == 0 ? field : NULL;
        if (field->is_required) {
            *missing = field;
            return NULL;
        }
    }
    return NULL;
}

// One entry of the map, behind its key.
TALLY_MUST_USE bool tally_read_entry(
    tally_plan *plan, tally_source source, const char *path, tally_reader *reader, tally_text key, uint8_t *to) {
    const tally_field *missing = NULL;
    const tally_field *field = tally_meet(plan, key, &missing);
    if (missing) return tally_misfit(source, path, (const char *)missing->name.bytes, "present");
    if (!field && source == TALLY_CAP && !tally_is_private(key)) return tally_unknown(path, key);
    if (!field) return tally_skip(reader) || tally_unreadable(source);
    if (source >= TALLY_PARAMS && tally_left(reader) > 0 && reader->bytes[reader->at] == 0xF6) {
        reader->at++;
        return true;
    }
    const tally_reader before = *reader;
    if (!tally_read_field(reader, field->kind, to + field->offset)) {
        *reader = before;
        if (!tally_skip(reader)) return tally_unreadable(source);
        return tally_misfit(source, path, (const char *)field->name.bytes, tally_expected[field->kind]);
    }
    plan->at++;
    return true;
}

// The map in `bytes` as a struct; `path` is where it stands, empty at the top. Refuses with the code of `source`.
TALLY_MUST_USE bool tally_read_fields(
    tally_source source, const char *path, tally_text bytes, const tally_field *fields, uint32_t count, void *to,
    uint32_t whole) {
    tally_plan plan;
    tally_sort(&plan, fields, count, whole);
    tally_reader reader = {bytes.bytes, bytes.size, 0};
    if (!tally_is_at(&reader, TALLY_MAP)) return tally_misfit(source, path, "", "a map");
    uint32_t entries;
    if (!tally_read_count(&reader, TALLY_MAP, &entries)) return tally_unreadable(source);
    tally_text key = {0};
    for (; entries > 0; entries--) {
        if (!tally_read_key(&reader, &key)) return tally_unreadable(source);
        if (!tally_read_entry(&plan, source, path, &reader, key, to)) return false;
    }
    for (; plan.at < plan.count; plan.at++)
        if (plan.fields[plan.at]->is_required)
            return tally_misfit(source, path, (const char *)plan.fields[plan.at]->name.bytes, "present");
    return tally_left(&reader) == 0 || tally_unreadable(source);
}

#define TALLY_READ(source, path, bytes, fields, to) \
    tally_read_fields(source, path, bytes, fields, TALLY_COUNT(fields), to, sizeof *(to))
#define TALLY_INSIDE(item) ((tally_text){(item).bytes, (item).size})

// The grant's params; `cap_params_invalid` names the field that does not fit. A name that the table lacks is
// refused too, because a misspelt restriction would restrict nothing. `tally_cap_loosely` passes over such
// names; only where no cap param restricts anything.
#define tally_cap(fields, to) TALLY_READ(TALLY_CAP, "", tally_asked.cap_params, fields, to)
#define tally_cap_loosely(fields, to) TALLY_READ(TALLY_OPEN_CAP, "", tally_asked.cap_params, fields, to)
// The intent's params; `params_invalid` names the field that does not fit. Other names are passed over and
// null stands for an absent field.
#define tally_params(fields, to) TALLY_READ(TALLY_PARAMS, "", tally_asked.effect_params, fields, to)
// The receipt's payload, read like params; the violation `receipt_unreadable` names the field.
#define tally_payload(receipt, fields, to) TALLY_READ(TALLY_RECEIPT, "", (receipt)->payload, fields, to)
// A value inside one of the three; `path` names it in a message.
#define tally_cap_item(item, path, fields, to) TALLY_READ(TALLY_CAP, path, TALLY_INSIDE(item), fields, to)
#define tally_params_item(item, path, fields, to) TALLY_READ(TALLY_PARAMS, path, TALLY_INSIDE(item), fields, to)
#define tally_payload_item(item, path, fields, to) TALLY_READ(TALLY_RECEIPT, path, TALLY_INSIDE(item), fields, to)

// --- the ABI -----------------------------------------------------------------------------------------

static _Alignas(16) uint8_t tally_input[TALLY_INPUT_BYTES_MAX];
static uint8_t tally_output[10 * 1024]; // 64 dimensions of 128 bytes, one message and the frame around them

// Canonical bytes have one order of keys, so each key is expected in its place, its head before it.
static const tally_text tally_check_keys[] = {
    TALLY_LITERAL("\x66origin"), TALLY_LITERAL("\x67" "cap_def"), TALLY_LITERAL("\x6A" "cap_params"),
    TALLY_LITERAL("\x6Agrant_name"), TALLY_LITERAL("\x6B" "effect_kind"), TALLY_LITERAL("\x6D" "effect_params"),
    TALLY_LITERAL("\x6Elogical_now_ns"),
};
static const tally_text tally_settle_keys[] = {
    TALLY_LITERAL("\x66origin"), TALLY_LITERAL("\x67" "cap_def"), TALLY_LITERAL("\x67receipt"),
    TALLY_LITERAL("\x6A" "cap_params"), TALLY_LITERAL("\x6Agrant_name"), TALLY_LITERAL("\x6B" "effect_kind"),
    TALLY_LITERAL("\x6Bintent_hash"), TALLY_LITERAL("\x6D" "effect_params"), TALLY_LITERAL("\x6Elogical_now_ns"),
    TALLY_LITERAL("\x70reserve_estimate"),
};
static const tally_text tally_receipt_keys[] = {
    TALLY_LITERAL("\x66status"), TALLY_LITERAL("\x67payload"), TALLY_LITERAL("\x6A" "adapter_id"),
    TALLY_LITERAL("\x6A" "cost_cents"),
};

static void tally_read_values(tally_reader *reader, const tally_text *keys, uint32_t count, tally_item *values) {
    for (uint32_t at = 0; at < count; at++)
        if (!tally_expect(reader, keys[at]) || !tally_read_item(reader, &values[at])) tally_trap();
    if (tally_left(reader) > 0) tally_trap();
}

static void tally_read_ask(tally_item cap_params, tally_item kind, tally_item effect_params, tally_item now) {
    if (!tally_item_text(kind, &tally_asked.kind)) tally_trap();
    if (!tally_item_bytes(cap_params, &tally_asked.cap_params)) tally_trap();
    if (!tally_item_bytes(effect_params, &tally_asked.effect_params)) tally_trap();
    tally_asked.now = now;
}

static tally_receipt tally_read_receipt(tally_item item) {
    tally_reader inside = tally_inside(item);
    tally_item values[TALLY_COUNT(tally_receipt_keys)];
    tally_receipt receipt = {0};
    tally_text status;
    uint32_t count;
    if (!tally_read_count(&inside, TALLY_MAP, &count) || (count != 3 && count != 4)) tally_trap();
    tally_read_values(&inside, tally_receipt_keys, count, values);
    if (!tally_item_text(values[0], &status) || !tally_item_bytes(values[1], &receipt.payload)) tally_trap();
    if (tally_equal(status, "error")) receipt.status = TALLY_ERROR;
    else if (tally_equal(status, "timeout")) receipt.status = TALLY_TIMEOUT;
    else if (!tally_equal(status, "ok")) tally_trap();
    receipt.cost_cents.is_there = count == 4;
    if (count == 4 && !tally_item_natural(values[3], &receipt.cost_cents.value)) tally_trap();
    return receipt;
}

static void tally_write_reason(tally_writer *writer) {
    tally_write_raw(writer, TALLY_TEXT("\xA2\x64" "code"));
    tally_write_text(writer, tally_answer.code);
    tally_write_raw(writer, TALLY_TEXT("\x67message"));
    tally_write_text(writer, ((tally_text){tally_message_bytes, tally_answer.message.size}));
}

static void tally_write_amounts(tally_writer *writer) {
    tally_write_map(writer, tally_answer.count);
    for (uint32_t at = 0; at < tally_answer.count; at++) {
        tally_write_text(writer, tally_answer.amounts[at].dim);
        tally_write_natural(writer, tally_answer.amounts[at].amount);
    }
}

static void tally_answer_check(tally_reader *reader, tally_writer *writer) {
    tally_item values[TALLY_COUNT(tally_check_keys)];
    if (!tally_expect(reader, TALLY_TEXT("\xA1\x65" "Check\xA7"))) tally_trap();
    tally_read_values(reader, tally_check_keys, TALLY_COUNT(values), values);
    tally_read_ask(values[2], values[4], values[5], values[6]);
    if (!check() && tally_answer.code.size == 0) tally_trap();
    if (tally_answer.code.size > 0) {
        tally_write_raw(writer, TALLY_TEXT("\xA1\x65" "Check\xA3\x64" "deny"));
        tally_write_reason(writer);
        tally_write_raw(writer, TALLY_TEXT("\x6E" "constraints_ok\xF4\x70reserve_estimate\xA0"));
    } else {
        tally_write_raw(writer, TALLY_TEXT("\xA1\x65" "Check\xA2\x6E" "constraints_ok\xF5\x70reserve_estimate"));
        tally_write_amounts(writer);
    }
}

static void tally_answer_settle(tally_reader *reader, tally_writer *writer) {
    tally_item values[TALLY_COUNT(tally_settle_keys)];
    if (!tally_expect(reader, TALLY_TEXT("\xA1\x66Settle\xAA"))) tally_trap();
    tally_read_values(reader, tally_settle_keys, TALLY_COUNT(values), values);
    tally_read_ask(values[3], values[5], values[7], values[8]);
    if (!tally_item_map(values[9], &tally_asked.reserve)) tally_trap();
    const tally_receipt receipt = tally_read_receipt(values[2]);
    if (!settle(&receipt) && tally_answer.code.size == 0) tally_trap();
    const bool is_violated = tally_answer.code.size > 0;
    tally_write_raw(writer, TALLY_TEXT("\xA1\x66Settle"));
    tally_write_raw(writer, is_violated ? TALLY_TEXT("\xA2\x65usage") : TALLY_TEXT("\xA1\x65usage"));
    tally_write_amounts(writer);
    if (!is_violated) return;
    tally_write_raw(writer, TALLY_TEXT("\x69violation"));
    tally_write_reason(writer);
}

void splittally_abi_1(void) {}

uint32_t alloc(uint32_t size) { return size <= sizeof tally_input ? (uint32_t)(uintptr_t)tally_input : 0; }

uint64_t run(uint32_t at, uint32_t size) {
    if (at != (uint32_t)(uintptr_t)tally_input || size > sizeof tally_input) tally_trap();
    tally_reader reader = {tally_input, size, 0};
    tally_writer writer = {tally_output, sizeof tally_output, 0};
    tally_answer.message = (tally_writer){tally_message_bytes, sizeof tally_message_bytes, 0};
    if (size > 1 && tally_input[1] == 0x65) tally_answer_check(&reader, &writer);
    else tally_answer_settle(&reader, &writer);
    return (uint64_t)(uintptr_t)tally_output << 32 | writer.size;
}

#endif // TALLY_CODEC_ONLY

#endif // SPLITTALLY_H
