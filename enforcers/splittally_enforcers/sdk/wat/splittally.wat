;; The enforcer SDK for WebAssembly text, ABI version 1 (spec/03-abi.md). The build inserts these fields, and
;; those of codec.wat, in a module where it says `(@splittally)`. The module defines `$check` and `$settle`,
;; both without parameters and results; the guide is ../README.md.
;;
;; 1. Integers only, no recursion, no call through a table: admission refuses the rest.
;; 2. A broken message from the host is a trap, because nobody could read an answer to it. Broken
;;    params, cap params or payload are answered with a code and a message that names the field.
;; 3. Text of others reaches a message only through `$tally.quote` and `$tally.list`: bounded, escaped.
;; 4. A bug is a trap too, and a trap denies.
;; 5. Addresses from 10304 are the frame's: amounts, message 11328, fields 11904, output 14336, input 24576.
;;    Those from 49152 on are the author's, and zero at the start.

;; --- the question ------------------------------------------------------------------------------------

(global $tally._kind (mut i64) (i64.const 0))
(global $tally._cap_params (mut i64) (i64.const 0))
(global $tally._effect_params (mut i64) (i64.const 0))
(global $tally._now (mut i64) (i64.const 0))
(global $tally._reserve (mut i64) (i64.const 0)) ;; none in a Check
(global $tally._receipt (mut i64) (i64.const 0))
(global $tally._payload (mut i64) (i64.const 0))
(global $tally.status (mut i32) (i32.const 0)) ;; the receipt's: 0 ok, 1 error, 2 timeout
(global $tally.has_cost_cents (mut i32) (i32.const 0))
(global $tally.cost_cents (mut i64) (i64.const 0))

;; The intent's kind.
(func $tally.kind (result i64)
  (global.get $tally._kind))

;; The logical time of the Check, in nanoseconds since 1970; the Settle is given the same.
(func $tally.now_ns (result i64)
  (if (i32.eqz (call $tally.is_natural (global.get $tally._now))) (then (unreachable)))
  (global.get $tally.argument))

;; What the Check reserved for a dimension, 0 when it reserved nothing.
(func $tally.reserved (param $dim i64) (result i64)
  (call $tally.natural_of (call $tally.find (global.get $tally._reserve) (local.get $dim))))

;; --- refusals and violations -------------------------------------------------------------------------

(global $tally._code (mut i64) (i64.const 0))
(global $tally._is_mute (mut i32) (i32.const 0)) ;; while the first refusal stands and a later one is said

;; Begins a refusal: a deny at Check, a violation at Settle. The first stays, a later one is not reported.
;; Its message follows, part by part; then the judgement returns, or goes on where it is a violation only.
(func $tally.refuse (param $code i64)
  (global.set $tally._is_mute (i64.ne (global.get $tally._code) (i64.const 0)))
  (if (i32.eqz (global.get $tally._is_mute)) (then (global.set $tally._code (local.get $code)))))

(func $tally._is_heard (result i32)
  (if (i64.eqz (global.get $tally._code)) (then (unreachable))) ;; a message without a refusal
  (i32.eqz (global.get $tally._is_mute)))

;; A part of the message: a text of the enforcer's own.
(func $tally.say (param $literal i64)
  (if (call $tally._is_heard) (then (call $tally.write_raw (local.get $literal)))))

;; A part of the message: a number.
(func $tally.say_number (param $natural i64)
  (local $unit i64)
  (if (i32.eqz (call $tally._is_heard)) (then (return)))
  (local.set $unit (i64.const 1))
  (block $found
    (loop $longer
      (br_if $found (i64.lt_u (i64.div_u (local.get $natural) (local.get $unit)) (i64.const 10)))
      (local.set $unit (i64.mul (local.get $unit) (i64.const 10)))
      (br $longer)))
  (loop $more
    (call $tally.write_byte (i32.add
      (i32.const 48)
      (i32.wrap_i64 (i64.rem_u (i64.div_u (local.get $natural) (local.get $unit)) (i64.const 10)))))
    (local.set $unit (i64.div_u (local.get $unit) (i64.const 10)))
    (br_if $more (i64.ne (local.get $unit) (i64.const 0)))))

;; Whether a reader sees the code point as what it is.
(func $tally._is_plain (param $point i32) (result i32)
  (local $range i32)
  (local.set $range (call $tally.address (@text
    "\20\00\00\00\21\00\00\00\23\00\00\00\26\00\00\00\28\00\00\00\5b\00\00\00\5d\00\00\00\5f\00\00\00"
    "\61\00\00\00\7e\00\00\00\a1\00\00\00\ac\00\00\00\ae\00\00\00\4e\03\00\00\50\03\00\00\1b\06\00\00"
    "\1d\06\00\00\5e\11\00\00\61\11\00\00\7f\16\00\00\81\16\00\00\b3\17\00\00\b6\17\00\00\0a\18\00\00"
    "\10\18\00\00\ff\1f\00\00\10\20\00\00\27\20\00\00\30\20\00\00\5e\20\00\00\70\20\00\00\ff\2f\00\00"
    "\01\30\00\00\63\31\00\00\65\31\00\00\ff\d7\00\00\00\f9\00\00\ff\fd\00\00\10\fe\00\00\fe\fe\00\00"
    "\00\ff\00\00\9f\ff\00\00\a1\ff\00\00\ef\ff\00\00\00\00\01\00\9f\bc\01\00\a4\bc\01\00\72\d1\01\00"
    "\7b\d1\01\00\ff\ff\0d\00\ff\ff\ff\ff\ff\ff\ff\ff")))
  (loop $more
    (if (i32.gt_u (local.get $point) (i32.load offset=4 align=1 (local.get $range)))
      (then
        (local.set $range (i32.add (local.get $range) (i32.const 8)))
        (br $more))))
  (i32.ge_u (local.get $point) (i32.load align=1 (local.get $range))))

;; The value in hexadecimal, two digits at least.
(func $tally._write_hex (param $value i32)
  (local $shift i32) (local $digit i32)
  (local.set $shift (i32.const 24))
  (loop $more
    (local.set $shift (i32.sub (local.get $shift) (i32.const 4)))
    (if (i32.or
        (i32.le_u (local.get $shift) (i32.const 4))
        (i32.shr_u (local.get $value) (local.get $shift)))
      (then
        (local.set $digit (i32.and (i32.shr_u (local.get $value) (local.get $shift)) (i32.const 15)))
        (call $tally.write_byte (i32.add
          (local.get $digit)
          (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))))
    (br_if $more (local.get $shift))))

;; The code point as it is seen, escaped as `\u{202e}`, or its first byte as `\xff` where it is no UTF-8.
(func $tally._write_unit (param $text i64) (param $size i32)
  (if (i32.eqz (local.get $size))
    (then
      (call $tally.write_raw (@text "\\x"))
      (call $tally._write_hex (i32.load8_u (call $tally.address (local.get $text))))
      (return)))
  (if (call $tally._is_plain (global.get $tally._point))
    (then
      (call $tally.write_raw (call $tally.text_at (call $tally.address (local.get $text)) (local.get $size)))
      (return)))
  (call $tally.write_raw (@text "\\u{"))
  (call $tally._write_hex (global.get $tally._point))
  (call $tally.write_byte (i32.const 125)))

;; A part of the message: text of others, at most 64 bytes of it between backticks; a cut falls between code
;; points and shows as an ellipsis. What turns out too long is taken back, so the room is wider meanwhile.
(func $tally.quote (param $text i64)
  (local $most i32) (local $before i32) (local $size i32)
  (if (i32.eqz (call $tally._is_heard)) (then (return)))
  (call $tally.write_byte (i32.const 96))
  (global.set $tally._out_end (i32.add (global.get $tally._out_end) (i32.const 16)))
  (local.set $most (i32.add (global.get $tally._out) (i32.const 61)))
  (block $done
    (loop $more
      (br_if $done (i32.eqz (call $tally.size (local.get $text))))
      (local.set $before (global.get $tally._out))
      (local.set $size (call $tally._code_point (local.get $text)))
      (call $tally._write_unit (local.get $text) (local.get $size))
      (if (i32.gt_u (global.get $tally._out) (local.get $most))
        (then
          (global.set $tally._out (local.get $before))
          (call $tally.write_raw (@text "\e2\80\a6"))
          (br $done)))
      (local.set $text (call $tally.behind
        (local.get $text)
        (select (local.get $size) (i32.const 1) (local.get $size))))
      (br $more)))
  (global.set $tally._out_end (i32.sub (global.get $tally._out_end) (i32.const 16)))
  (if (i32.gt_u (global.get $tally._out) (global.get $tally._out_end)) (then (unreachable)))
  (call $tally.write_byte (i32.const 96)))

;; A part of the message: a list of others' texts, the first four, and how many more there are.
(func $tally.list (param $texts i64)
  (local $rest i64) (local $shown i32) (local $more i64)
  (if (i32.eqz (call $tally._is_heard)) (then (return)))
  (local.set $more (call $tally.count (local.get $texts)))
  (local.set $rest (call $tally.elements (local.get $texts)))
  (block $done
    (loop $next
      (br_if $done (i64.eqz (local.get $more)))
      (br_if $done (i32.eq (local.get $shown) (i32.const 4)))
      (if (local.get $shown) (then (call $tally.write_raw (@text ", "))))
      (call $tally.quote (call $tally.text_of (call $tally.first (local.get $rest))))
      (local.set $rest (call $tally.rest (local.get $rest)))
      (local.set $shown (i32.add (local.get $shown) (i32.const 1)))
      (local.set $more (i64.sub (local.get $more) (i64.const 1)))
      (br $next)))
  (if (i64.eqz (local.get $more)) (then (return)))
  (call $tally.write_raw (@text " and "))
  (call $tally.say_number (local.get $more))
  (call $tally.write_raw (@text " more")))

(func $tally.is_kind (param $kind i64) (result i32)
  (call $tally.equal (global.get $tally._kind) (local.get $kind)))

;; Refuses `effect_kind_mismatch`; for an enforcer of several kinds that found none of them.
(func $tally.refuse_kind
  (call $tally.refuse (@text "effect_kind_mismatch"))
  (call $tally.say (@text "this grant's enforcer does not judge "))
  (call $tally.quote (global.get $tally._kind))
  (call $tally.say (@text "; use a grant whose cap covers that kind")))

;; 1, with the refusal `effect_kind_mismatch`, unless the intent's kind is this one.
(func $tally.other_kind (param $kind i64) (result i32)
  (if (call $tally.is_kind (local.get $kind)) (then (return (i32.const 0))))
  (call $tally.refuse_kind)
  (i32.const 1))

;; --- amounts -----------------------------------------------------------------------------------------

(global $tally._dims (mut i32) (i32.const 0)) ;; how many have an amount; at 10304, 16 bytes each

;; Gives an amount to a dimension that has none yet.
(func $tally.put (param $dim i64) (param $amount i64)
  (local $at i32)
  (if (i32.eq (global.get $tally._dims) (i32.const 64)) (then (unreachable)))
  (local.set $at (i32.add (i32.const 10304) (i32.shl (global.get $tally._dims) (i32.const 4))))
  (global.set $tally._dims (i32.add (global.get $tally._dims) (i32.const 1)))
  (block $found
    (loop $more
      (br_if $found (i32.eq (local.get $at) (i32.const 10304)))
      (br_if $found (i32.ge_s
        (call $tally.order (local.get $dim) (i64.load (i32.sub (local.get $at) (i32.const 16))))
        (i32.const 0)))
      (i64.store (local.get $at) (i64.load (i32.sub (local.get $at) (i32.const 16))))
      (i64.store offset=8 (local.get $at) (i64.load (i32.sub (local.get $at) (i32.const 8))))
      (local.set $at (i32.sub (local.get $at) (i32.const 16)))
      (br $more)))
  (i64.store (local.get $at) (local.get $dim))
  (i64.store offset=8 (local.get $at) (local.get $amount)))

;; Notes the violation `usage_exceeds_reserve`, whatever was reserved.
(func $tally.exceeds (param $dim i64) (param $usage i64) (param $reserve i64)
  (call $tally.refuse (@text "usage_exceeds_reserve"))
  (call $tally.say (@text "usage of "))
  (call $tally.quote (local.get $dim))
  (call $tally.say (@text " is "))
  (call $tally.say_number (local.get $usage))
  (call $tally.say (@text ", above the reserve of "))
  (call $tally.say_number (local.get $reserve)))

;; Reports usage, and the violation `usage_exceeds_reserve` where it passes a reserve above 0.
(func $tally.use (param $dim i64) (param $amount i64)
  (local $reserve i64)
  (local.set $reserve (call $tally.reserved (local.get $dim)))
  (if (i32.and
      (i64.ne (local.get $reserve) (i64.const 0))
      (i64.gt_u (local.get $amount) (local.get $reserve)))
    (then (call $tally.exceeds (local.get $dim) (local.get $amount) (local.get $reserve))))
  (call $tally.put (local.get $dim) (local.get $amount)))

;; The same for every entry of a map that was read as `$tally.amounts`.
(func $tally.put_all (param $amounts i64)
  (call $tally._give_all (local.get $amounts) (i32.const 0)))

(func $tally.use_all (param $amounts i64)
  (call $tally._give_all (local.get $amounts) (i32.const 1)))

(func $tally._give_all (param $amounts i64) (param $is_usage i32)
  (local $rest i64) (local $dim i64) (local $amount i64)
  (local.set $rest (call $tally.elements (local.get $amounts)))
  (block $done
    (loop $more
      (br_if $done (i32.eqz (call $tally.size (local.get $rest))))
      (local.set $dim (call $tally.text_of (call $tally.first (local.get $rest))))
      (local.set $rest (call $tally.rest (local.get $rest)))
      (local.set $amount (call $tally.natural_of (call $tally.first (local.get $rest))))
      (local.set $rest (call $tally.rest (local.get $rest)))
      (if (local.get $is_usage)
        (then (call $tally.use (local.get $dim) (local.get $amount)))
        (else (call $tally.put (local.get $dim) (local.get $amount))))
      (br $more))))

;; --- fields read from maps ---------------------------------------------------------------------------

;; The kinds of fields. The value of a boolean is 0 or 1, of a natural itself, of any other an address and size.
(global $tally.natural i32 (i32.const 0))
(global $tally.text i32 (i32.const 1))
(global $tally.boolean i32 (i32.const 2))
(global $tally.item i32 (i32.const 3))
(global $tally.items i32 (i32.const 4))
(global $tally.texts i32 (i32.const 5))
(global $tally.naturals i32 (i32.const 6))
(global $tally.map i32 (i32.const 7))
(global $tally.amounts i32 (i32.const 8))

;; 32 fields at most, at 11904 in canonical order of their names, 32 bytes each: name, value, kind, whether it
;; is required, whether it was there.
(global $tally._fields_end (mut i32) (i32.const 11904))
(global $tally._are_read (mut i32) (i32.const 0)) ;; then the next declaration begins another table

;; Declares a field of the map that is read next.
(func $tally.required (param $name i64) (param $kind i32)
  (call $tally._declare (local.get $name) (local.get $kind) (i64.const 0) (i32.const 1)))

(func $tally.optional (param $name i64) (param $kind i32) (param $default i64)
  (call $tally._declare (local.get $name) (local.get $kind) (local.get $default) (i32.const 0)))

(func $tally._declare (param $name i64) (param $kind i32) (param $default i64) (param $is_required i32)
  (local $at i32)
  (if (global.get $tally._are_read)
    (then
      (global.set $tally._are_read (i32.const 0))
      (global.set $tally._fields_end (i32.const 11904))))
  (local.set $at (global.get $tally._fields_end))
  (if (i32.eq (local.get $at) (i32.const 12928)) (then (unreachable))) ;; 11904 + 32 * 32
  (global.set $tally._fields_end (i32.add (local.get $at) (i32.const 32)))
  (block $found
    (loop $more
      (br_if $found (i32.eq (local.get $at) (i32.const 11904)))
      (br_if $found (i32.ge_s
        (call $tally.order (local.get $name) (i64.load (i32.sub (local.get $at) (i32.const 32))))
        (i32.const 0)))
      (call $tally._copy_field (local.get $at) (i32.sub (local.get $at) (i32.const 32)))
      (local.set $at (i32.sub (local.get $at) (i32.const 32)))
      (br $more)))
  (i64.store (local.get $at) (local.get $name))
  (i64.store offset=8 (local.get $at) (local.get $default))
  (i32.store offset=16 (local.get $at) (local.get $kind))
  (i32.store offset=20 (local.get $at) (local.get $is_required))
  (i32.store offset=24 (local.get $at) (i32.const 0)))

(func $tally._copy_field (param $to i32) (param $from i32)
  (i64.store (local.get $to) (i64.load (local.get $from)))
  (i64.store offset=8 (local.get $to) (i64.load offset=8 (local.get $from)))
  (i64.store offset=16 (local.get $to) (i64.load offset=16 (local.get $from)))
  (i64.store offset=24 (local.get $to) (i64.load offset=24 (local.get $from))))

(func $tally._field (param $name i64) (result i32)
  (local $at i32)
  (local.set $at (i32.const 11904))
  (loop $more
    (if (i32.ge_u (local.get $at) (global.get $tally._fields_end)) (then (unreachable))) ;; never declared
    (if (call $tally.equal (i64.load (local.get $at)) (local.get $name)) (then (return (local.get $at))))
    (local.set $at (i32.add (local.get $at) (i32.const 32)))
    (br $more))
  (unreachable))

;; The value of a field of the map that was read last, or its default; and whether the map had it.
(func $tally.value (param $name i64) (result i64)
  (i64.load offset=8 (call $tally._field (local.get $name))))

(func $tally.has (param $name i64) (result i32)
  (i32.load offset=24 (call $tally._field (local.get $name))))

;; Read what was declared: 1, with a refusal that names the field, when a value does not fit.
;; Of the cap params a name that is not declared is refused too, because a misspelt restriction would restrict
;; nothing. `$tally.read_cap_loosely` passes over such names; only where no cap param restricts anything.
(func $tally.read_cap (result i32)
  (call $tally._read (i32.const 0) (i64.const 0) (global.get $tally._cap_params)))

(func $tally.read_cap_loosely (result i32)
  (call $tally._read (i32.const 1) (i64.const 0) (global.get $tally._cap_params)))

;; Of the intent's params and of a receipt's payload other names are passed over, and null stands for an
;; absent field.
(func $tally.read_params (result i32)
  (call $tally._read (i32.const 2) (i64.const 0) (global.get $tally._effect_params)))

(func $tally.read_payload (result i32)
  (call $tally._read (i32.const 3) (i64.const 0) (global.get $tally._payload)))

;; A value inside one of the three; `path` names it in a message.
(func $tally.read_cap_item (param $item i64) (param $path i64) (result i32)
  (call $tally._read (i32.const 0) (local.get $path) (local.get $item)))

(func $tally.read_params_item (param $item i64) (param $path i64) (result i32)
  (call $tally._read (i32.const 2) (local.get $path) (local.get $item)))

(func $tally.read_payload_item (param $item i64) (param $path i64) (result i32)
  (call $tally._read (i32.const 3) (local.get $path) (local.get $item)))

(func $tally._refuse_source (param $source i32)
  (if (i32.le_u (local.get $source) (i32.const 1)) (then (call $tally.refuse (@text "cap_params_invalid"))))
  (if (i32.eq (local.get $source) (i32.const 2)) (then (call $tally.refuse (@text "params_invalid"))))
  (if (i32.eq (local.get $source) (i32.const 3)) (then (call $tally.refuse (@text "receipt_unreadable")))))

(func $tally._say_source (param $source i32)
  (if (i32.le_u (local.get $source) (i32.const 1)) (then (call $tally.say (@text "the cap params"))))
  (if (i32.eq (local.get $source) (i32.const 2)) (then (call $tally.say (@text "the params"))))
  (if (i32.eq (local.get $source) (i32.const 3)) (then (call $tally.say (@text "the receipt's payload")))))

(func $tally._unreadable (param $source i32) (result i32)
  (call $tally._refuse_source (local.get $source))
  (call $tally._say_source (local.get $source))
  (call $tally.say (@text " must be a map in canonical CBOR"))
  (i32.const 1))

(func $tally._misfit (param $source i32) (param $path i64) (param $name i64) (param $expected i64) (result i32)
  (if (i64.eqz (i64.or (local.get $path) (local.get $name)))
    (then (return (call $tally._unreadable (local.get $source)))))
  (call $tally._refuse_source (local.get $source))
  (call $tally.say (@text "field `"))
  (call $tally.say (local.get $path))
  (if (i32.and (i64.ne (local.get $path) (i64.const 0)) (i64.ne (local.get $name) (i64.const 0)))
    (then (call $tally.say (@text "."))))
  (call $tally.say (local.get $name))
  (call $tally.say (@text "` of "))
  (call $tally._say_source (local.get $source))
  (call $tally.say (@text " must be "))
  (call $tally.say (local.get $expected))
  (i32.const 1))

;; Refuses `params_invalid`, for a field of the intent's params that an enforcer looks at itself.
(func $tally.misfit_params (param $name i64) (param $expected i64)
  (drop (call $tally._misfit (i32.const 2) (i64.const 0) (local.get $name) (local.get $expected))))

(func $tally._unknown (param $path i64) (param $key i64) (result i32)
  (call $tally.refuse (@text "cap_params_invalid"))
  (call $tally.say (@text "the grant's "))
  (call $tally.say (select (@text "cap params") (local.get $path) (i64.eqz (local.get $path))))
  (call $tally.say (@text " hold "))
  (call $tally.quote (local.get $key))
  (call $tally.say (@text ", which this enforcer does not know; correct the name or take it out"))
  (i32.const 1))

;; A cap param whose name begins with `x-` is its author's own note and is passed over.
(func $tally._is_private (param $key i64) (result i32)
  (i32.and
    (i32.gt_u (call $tally.size (local.get $key)) (i32.const 2))
    (call $tally.starts_with (local.get $key) (@text "x-"))))

(func $tally._expected (param $kind i32) (result i64)
  (if (i32.eq (local.get $kind) (i32.const 0)) (then (return (@text "a natural number below 2^64"))))
  (if (i32.eq (local.get $kind) (i32.const 1)) (then (return (@text "a text"))))
  (if (i32.eq (local.get $kind) (i32.const 2)) (then (return (@text "true or false"))))
  (if (i32.eq (local.get $kind) (i32.const 3)) (then (return (@text "a value"))))
  (if (i32.eq (local.get $kind) (i32.const 4)) (then (return (@text "a list"))))
  (if (i32.eq (local.get $kind) (i32.const 5)) (then (return (@text "a list of texts"))))
  (if (i32.eq (local.get $kind) (i32.const 6))
    (then (return (@text "a list of natural numbers below 2^64"))))
  (if (i32.eq (local.get $kind) (i32.const 7)) (then (return (@text "a map"))))
  (@text "a map from at most 64 dimensions to natural numbers below 2^64"))

(func $tally._read_kind (param $kind i32) (result i32)
  (if (i32.eq (local.get $kind) (i32.const 0)) (then (return (call $tally.read_natural))))
  (if (i32.eq (local.get $kind) (i32.const 1)) (then (return (call $tally.read_text))))
  (if (i32.eq (local.get $kind) (i32.const 2)) (then (return (call $tally.read_boolean))))
  (if (i32.eq (local.get $kind) (i32.const 3)) (then (return (call $tally.read_item))))
  (if (i32.eq (local.get $kind) (i32.const 4)) (then (return (call $tally.read_items (i32.const 8)))))
  (if (i32.eq (local.get $kind) (i32.const 5)) (then (return (call $tally.read_items (i32.const 3)))))
  (if (i32.eq (local.get $kind) (i32.const 6)) (then (return (call $tally.read_items (i32.const 0)))))
  (if (i32.eq (local.get $kind) (i32.const 7)) (then (return (call $tally.read_map))))
  (if (i32.eq (local.get $kind) (i32.const 8)) (then (return (call $tally.read_amounts))))
  (unreachable))

;; One value into its field: 1 when it does not fit, and what is opened is as before.
(func $tally._read_field (param $field i32) (result i32)
  (local $start i32) (local $kind i32)
  (local.set $start (global.get $tally._at))
  (local.set $kind (i32.load offset=16 (local.get $field)))
  (if (call $tally._read_kind (local.get $kind))
    (then
      (global.set $tally._at (local.get $start))
      (return (i32.const 1))))
  (i64.store offset=8 (local.get $field) (select
    (global.get $tally.argument)
    (global.get $tally.found)
    (i32.or (i32.eqz (local.get $kind)) (i32.eq (local.get $kind) (global.get $tally.boolean)))))
  (i32.store offset=24 (local.get $field) (i32.const 1))
  (i32.const 0))

(global $tally._place (mut i32) (i32.const 0)) ;; the field that is met next; those before it were met or passed

;; Goes on to the field of this name: 0 when it is there, 1 when there is none, 2 when a required one is passed.
(func $tally._meet (param $key i64) (result i32)
  (local $order i32)
  (loop $more
    (if (i32.eq (global.get $tally._place) (global.get $tally._fields_end)) (then (return (i32.const 1))))
    (local.set $order (call $tally.order (i64.load (global.get $tally._place)) (local.get $key)))
    (if (i32.ge_s (local.get $order) (i32.const 0)) (then (return (local.get $order))))
    (if (i32.load offset=20 (global.get $tally._place)) (then (return (i32.const 2))))
    (global.set $tally._place (i32.add (global.get $tally._place) (i32.const 32)))
    (br $more))
  (unreachable))

(func $tally._missing (param $source i32) (param $path i64) (result i32)
  (call $tally._misfit
    (local.get $source) (local.get $path) (i64.load (global.get $tally._place)) (@text "present")))

;; One entry of the map, behind its key.
(func $tally._read_entry (param $source i32) (param $path i64) (param $key i64) (result i32)
  (local $met i32)
  (local.set $met (call $tally._meet (local.get $key)))
  (if (i32.eq (local.get $met) (i32.const 2))
    (then (return (call $tally._missing (local.get $source) (local.get $path)))))
  (if (local.get $met)
    (then
      (if (i32.eqz (i32.or (local.get $source) (call $tally._is_private (local.get $key))))
        (then (return (call $tally._unknown (local.get $path) (local.get $key)))))
      (if (call $tally.skip) (then (return (call $tally._unreadable (local.get $source)))))
      (return (i32.const 0))))
  (if (i32.and (i32.ge_u (local.get $source) (i32.const 2)) (call $tally._is_at (i32.const 7)))
    (then
      (if (i32.eq (i32.load8_u (global.get $tally._at)) (i32.const 0xF6)) ;; null
        (then (return (call $tally._pass (i64.const 1)))))))
  (if (call $tally._read_field (global.get $tally._place))
    (then
      (if (call $tally.skip) (then (return (call $tally._unreadable (local.get $source)))))
      (return (call $tally._misfit
        (local.get $source)
        (local.get $path)
        (i64.load (global.get $tally._place))
        (call $tally._expected (i32.load offset=16 (global.get $tally._place)))))))
  (global.set $tally._place (i32.add (global.get $tally._place) (i32.const 32)))
  (i32.const 0))

;; Reads the map in `bytes`; `path` is where it stands, 0 at the top.
(func $tally._read (param $source i32) (param $path i64) (param $bytes i64) (result i32)
  (local $left i64) (local $key i64)
  (global.set $tally._are_read (i32.const 1))
  (global.set $tally._place (i32.const 11904))
  (call $tally.open (local.get $bytes))
  (if (i32.eqz (call $tally._is_at (i32.const 5)))
    (then (return (call $tally._misfit (local.get $source) (local.get $path) (i64.const 0) (@text "a map")))))
  (if (call $tally.read_count (i32.const 5)) (then (return (call $tally._unreadable (local.get $source)))))
  (local.set $left (global.get $tally.argument))
  (block $done
    (loop $more
      (br_if $done (i64.eqz (local.get $left)))
      (if (call $tally.read_key (local.get $key)) (then (return (call $tally._unreadable (local.get $source)))))
      (local.set $key (global.get $tally.found))
      (if (call $tally._read_entry (local.get $source) (local.get $path) (local.get $key))
        (then (return (i32.const 1))))
      (local.set $left (i64.sub (local.get $left) (i64.const 1)))
      (br $more)))
  (loop $more
    (if (i32.ne (global.get $tally._place) (global.get $tally._fields_end))
      (then
        (if (i32.load offset=20 (global.get $tally._place))
          (then (return (call $tally._missing (local.get $source) (local.get $path)))))
        (global.set $tally._place (i32.add (global.get $tally._place) (i32.const 32)))
        (br $more))))
  (if (i64.ne (call $tally._left_size) (i64.const 0))
    (then (return (call $tally._unreadable (local.get $source)))))
  (i32.const 0))

;; --- the ABI -----------------------------------------------------------------------------------------

(func (export "splittally_abi_1"))

(func (export "alloc") (param $size i32) (result i32)
  (select (i32.const 24576) (i32.const 0) (i32.le_u (local.get $size) (i32.const 24576))))

(func $tally._run (export "run") (param $at i32) (param $size i32) (result i64)
  (local $is_check i32) (local $message i64)
  (if (i32.ne (local.get $at) (i32.const 24576)) (then (unreachable)))
  (if (i32.gt_u (local.get $size) (i32.const 24576)) (then (unreachable)))
  (local.set $is_check (i32.and
    (i32.gt_u (local.get $size) (i32.const 1))
    (i32.eq (i32.load8_u offset=1 (local.get $at)) (i32.const 0x65))))
  (call $tally._read_question (local.get $is_check) (call $tally.text_at (local.get $at) (local.get $size)))
  (call $tally.write_to (i32.const 11328) (i32.const 512))
  (if (local.get $is_check) (then (call $check)) (else (call $settle)))
  (local.set $message (call $tally.written))
  (call $tally.write_to (i32.const 14336) (i32.const 10240))
  (if (local.get $is_check)
    (then (call $tally._write_check (local.get $message)))
    (else (call $tally._write_settle (local.get $message))))
  (call $tally.written))

;; Passes over exactly these bytes.
(func $tally._expect (param $wanted i64)
  (if (call $tally.take (i64.extend_i32_u (call $tally.size (local.get $wanted)))) (then (unreachable)))
  (if (i32.eqz (call $tally.equal (global.get $tally.found) (local.get $wanted))) (then (unreachable))))

;; The value behind exactly this key, its head before it: canonical bytes have one order of keys.
(func $tally._value_of (param $key i64) (result i64)
  (call $tally._expect (local.get $key))
  (if (call $tally.read_item) (then (unreachable)))
  (global.get $tally.found))

(func $tally._expect_end
  (if (i64.ne (call $tally._left_size) (i64.const 0)) (then (unreachable))))

(func $tally._read_question (param $is_check i32) (param $message i64)
  (local $reserve i64)
  (call $tally.open (local.get $message))
  (call $tally._expect (select (@text "\a1\65Check\a7") (@text "\a1\66Settle\aa") (local.get $is_check)))
  (drop (call $tally._value_of (@text "\66origin")))
  (drop (call $tally._value_of (@text "\67cap_def")))
  (if (i32.eqz (local.get $is_check))
    (then (global.set $tally._receipt (call $tally._value_of (@text "\67receipt")))))
  (global.set $tally._cap_params (call $tally._value_of (@text "\6acap_params")))
  (drop (call $tally._value_of (@text "\6agrant_name")))
  (global.set $tally._kind (call $tally._value_of (@text "\6beffect_kind")))
  (if (i32.eqz (local.get $is_check)) (then (drop (call $tally._value_of (@text "\6bintent_hash")))))
  (global.set $tally._effect_params (call $tally._value_of (@text "\6deffect_params")))
  (global.set $tally._now (call $tally._value_of (@text "\6elogical_now_ns")))
  (if (i32.eqz (local.get $is_check))
    (then (local.set $reserve (call $tally._value_of (@text "\70reserve_estimate")))))
  (call $tally._expect_end)
  (global.set $tally._kind (call $tally._must_text (global.get $tally._kind)))
  (global.set $tally._cap_params (call $tally._must_bytes (global.get $tally._cap_params)))
  (global.set $tally._effect_params (call $tally._must_bytes (global.get $tally._effect_params)))
  (if (local.get $is_check) (then (return)))
  (if (i32.eqz (call $tally.is_map (local.get $reserve))) (then (unreachable)))
  (global.set $tally._reserve (local.get $reserve))
  (call $tally._read_receipt))

(func $tally._must_text (param $item i64) (result i64)
  (if (i32.eqz (call $tally.is_text (local.get $item))) (then (unreachable)))
  (global.get $tally.found))

(func $tally._must_bytes (param $item i64) (result i64)
  (if (i32.eqz (call $tally.is_bytes (local.get $item))) (then (unreachable)))
  (global.get $tally.found))

(func $tally._read_receipt
  (local $status i64) (local $cost i64)
  (call $tally.open (global.get $tally._receipt))
  (if (call $tally.read_count (i32.const 5)) (then (unreachable)))
  (global.set $tally.has_cost_cents (i64.eq (global.get $tally.argument) (i64.const 4)))
  (if (i32.eqz (i32.or (global.get $tally.has_cost_cents) (i64.eq (global.get $tally.argument) (i64.const 3))))
    (then (unreachable)))
  (local.set $status (call $tally._value_of (@text "\66status")))
  (global.set $tally._payload (call $tally._value_of (@text "\67payload")))
  (drop (call $tally._value_of (@text "\6aadapter_id")))
  (if (global.get $tally.has_cost_cents)
    (then (local.set $cost (call $tally._value_of (@text "\6acost_cents")))))
  (call $tally._expect_end)
  (global.set $tally._payload (call $tally._must_bytes (global.get $tally._payload)))
  (global.set $tally.status (call $tally._status_of (call $tally._must_text (local.get $status))))
  (if (i32.eqz (global.get $tally.has_cost_cents)) (then (return)))
  (if (i32.eqz (call $tally.is_natural (local.get $cost))) (then (unreachable)))
  (global.set $tally.cost_cents (global.get $tally.argument)))

(func $tally._status_of (param $text i64) (result i32)
  (if (call $tally.equal (local.get $text) (@text "ok")) (then (return (i32.const 0))))
  (if (call $tally.equal (local.get $text) (@text "error")) (then (return (i32.const 1))))
  (if (call $tally.equal (local.get $text) (@text "timeout")) (then (return (i32.const 2))))
  (unreachable))

(func $tally._write_reason (param $message i64)
  (call $tally.write_raw (@text "\a2\64code"))
  (call $tally.write_text (global.get $tally._code))
  (call $tally.write_raw (@text "\67message"))
  (call $tally.write_text (local.get $message)))

(func $tally._write_amounts
  (local $at i32) (local $end i32)
  (call $tally.write_map (i64.extend_i32_u (global.get $tally._dims)))
  (local.set $at (i32.const 10304))
  (local.set $end (i32.add (i32.const 10304) (i32.shl (global.get $tally._dims) (i32.const 4))))
  (block $done
    (loop $more
      (br_if $done (i32.eq (local.get $at) (local.get $end)))
      (call $tally.write_text (i64.load (local.get $at)))
      (call $tally.write_natural (i64.load offset=8 (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (br $more))))

(func $tally._write_check (param $message i64)
  (if (i64.ne (global.get $tally._code) (i64.const 0))
    (then
      (call $tally.write_raw (@text "\a1\65Check\a3\64deny"))
      (call $tally._write_reason (local.get $message))
      (call $tally.write_raw (@text "\6econstraints_ok\f4\70reserve_estimate\a0")))
    (else
      (call $tally.write_raw (@text "\a1\65Check\a2\6econstraints_ok\f5\70reserve_estimate"))
      (call $tally._write_amounts))))

(func $tally._write_settle (param $message i64)
  (local $is_violated i32)
  (local.set $is_violated (i64.ne (global.get $tally._code) (i64.const 0)))
  (call $tally.write_raw (select
    (@text "\a1\66Settle\a2\65usage")
    (@text "\a1\66Settle\a1\65usage")
    (local.get $is_violated)))
  (call $tally._write_amounts)
  (if (i32.eqz (local.get $is_violated)) (then (return)))
  (call $tally.write_raw (@text "\69violation"))
  (call $tally._write_reason (local.get $message)))
