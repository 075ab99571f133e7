;; The reader and the writer of canonical CBOR, integers only. The build inserts these fields in a module
;; where it says `(@splittally codec)`, and with splittally.wat where it says `(@splittally)`.
;;
;; 1. A text, a byte string, a list, a map or any whole value is one i64: address << 32 | size. 0 is none.
;; 2. A function that can fail returns 1 when it did, so `(br_if 0 (call ...))` leaves the judgement.
;; 3. What is read is read strictly: shortest heads, definite lengths, text keys ascending and once each.
;;    What is skipped is bounded, not judged: the kernel sends canonical bytes only. A float is passed over
;;    and never a number. `$tally.walk` judges every byte.
;; 4. Nothing recurses, and nothing is read outside the bytes that were opened.
;; 5. Addresses below 10304 are the codec's: texts of the build from 1024, levels of the walk from 9216.
;; 6. Names that begin with `$tally._` are the SDK's own.

(memory (export "memory") 1 1)

;; --- texts -------------------------------------------------------------------------------------------

(func $tally.text_at (param $address i32) (param $size i32) (result i64)
  (i64.or
    (i64.shl (i64.extend_i32_u (local.get $address)) (i64.const 32))
    (i64.extend_i32_u (local.get $size))))

(func $tally.address (param $text i64) (result i32)
  (i32.wrap_i64 (i64.shr_u (local.get $text) (i64.const 32))))

(func $tally.size (param $text i64) (result i32)
  (i32.wrap_i64 (local.get $text)))

;; The text without its first bytes; as many as it has, at most.
(func $tally.behind (param $text i64) (param $bytes i32) (result i64)
  (call $tally.text_at
    (i32.add (call $tally.address (local.get $text)) (local.get $bytes))
    (i32.sub (call $tally.size (local.get $text)) (local.get $bytes))))

;; Canonical order of texts: the shorter first, then bytewise. -1, 0 or 1.
(func $tally.order (param $a i64) (param $b i64) (result i32)
  (local $left i32) (local $at_a i32) (local $at_b i32) (local $byte_a i32) (local $byte_b i32)
  (local.set $left (call $tally.size (local.get $a)))
  (if (i32.ne (local.get $left) (call $tally.size (local.get $b)))
    (then (return (select
      (i32.const -1) (i32.const 1)
      (i32.lt_u (local.get $left) (call $tally.size (local.get $b)))))))
  (local.set $at_a (call $tally.address (local.get $a)))
  (local.set $at_b (call $tally.address (local.get $b)))
  (loop $more
    (if (i32.eqz (local.get $left)) (then (return (i32.const 0))))
    (local.set $byte_a (i32.load8_u (local.get $at_a)))
    (local.set $byte_b (i32.load8_u (local.get $at_b)))
    (local.set $at_a (i32.add (local.get $at_a) (i32.const 1)))
    (local.set $at_b (i32.add (local.get $at_b) (i32.const 1)))
    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
    (br_if $more (i32.eq (local.get $byte_a) (local.get $byte_b))))
  (select (i32.const -1) (i32.const 1) (i32.lt_u (local.get $byte_a) (local.get $byte_b))))

(func $tally.equal (param $a i64) (param $b i64) (result i32)
  (i32.eqz (call $tally.order (local.get $a) (local.get $b))))

(func $tally.starts_with (param $text i64) (param $head i64) (result i32)
  (if (i32.lt_u (call $tally.size (local.get $text)) (call $tally.size (local.get $head)))
    (then (return (i32.const 0))))
  (call $tally.equal
    (call $tally.text_at (call $tally.address (local.get $text)) (call $tally.size (local.get $head)))
    (local.get $head)))

(func $tally.ends_with (param $text i64) (param $tail i64) (result i32)
  (local $more i32)
  (local.set $more (i32.sub (call $tally.size (local.get $text)) (call $tally.size (local.get $tail))))
  (if (i32.lt_s (local.get $more) (i32.const 0)) (then (return (i32.const 0))))
  (call $tally.equal (call $tally.behind (local.get $text) (local.get $more)) (local.get $tail)))

(global $tally._point (mut i32) (i32.const 0))

;; The size of the code point that a text of at least one byte begins with, 0 when it begins with no UTF-8
;; (RFC 3629 section 4); its value is in `$tally._point`.
(func $tally._code_point (param $text i64) (result i32)
  (local $at i32) (local $first i32) (local $size i32) (local $i i32) (local $byte i32)
  (local.set $at (call $tally.address (local.get $text)))
  (local.set $first (i32.load8_u (local.get $at)))
  (global.set $tally._point (local.get $first))
  (if (i32.lt_u (local.get $first) (i32.const 0x80)) (then (return (i32.const 1))))
  (if (i32.or (i32.lt_u (local.get $first) (i32.const 0xC2)) (i32.gt_u (local.get $first) (i32.const 0xF4)))
    (then (return (i32.const 0))))
  (local.set $size (i32.add (i32.const 2) (i32.add
    (i32.ge_u (local.get $first) (i32.const 0xE0))
    (i32.ge_u (local.get $first) (i32.const 0xF0)))))
  (if (i32.lt_u (call $tally.size (local.get $text)) (local.get $size)) (then (return (i32.const 0))))
  (global.set $tally._point
    (i32.and (local.get $first) (i32.shr_u (i32.const 0x7F) (local.get $size))))
  (local.set $i (i32.const 1))
  (loop $more
    (local.set $byte (i32.load8_u (i32.add (local.get $at) (local.get $i))))
    (if (i32.ne (i32.and (local.get $byte) (i32.const 0xC0)) (i32.const 0x80))
      (then (return (i32.const 0))))
    (global.set $tally._point (i32.or
      (i32.shl (global.get $tally._point) (i32.const 6))
      (i32.and (local.get $byte) (i32.const 0x3F))))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $more (i32.lt_u (local.get $i) (local.get $size))))
  (select (local.get $size) (i32.const 0) (call $tally._is_code_point (local.get $size))))

;; Whether the value read last is one, and none that fewer bytes would have held.
(func $tally._is_code_point (param $size i32) (result i32)
  (local $least i32)
  (local.set $least (select
    (i32.const 0x80)
    (select (i32.const 0x800) (i32.const 0x10000) (i32.eq (local.get $size) (i32.const 3)))
    (i32.eq (local.get $size) (i32.const 2))))
  (i32.and
    (i32.and
      (i32.ge_u (global.get $tally._point) (local.get $least))
      (i32.le_u (global.get $tally._point) (i32.const 0x10FFFF)))
    (i32.ne (i32.and (global.get $tally._point) (i32.const 0x1FF800)) (i32.const 0xD800))))

(func $tally.is_utf8 (param $text i64) (result i32)
  (local $size i32)
  (loop $more
    (if (i32.eqz (call $tally.size (local.get $text))) (then (return (i32.const 1))))
    (local.set $size (call $tally._code_point (local.get $text)))
    (local.set $text (call $tally.behind (local.get $text) (local.get $size)))
    (br_if $more (local.get $size)))
  (i32.const 0))

;; --- amounts -----------------------------------------------------------------------------------------

;; Whether the sum or the product is below 2^64.
(func $tally.fits_add (param $a i64) (param $b i64) (result i32)
  (i64.le_u (local.get $b) (i64.sub (i64.const -1) (local.get $a))))

(func $tally.fits_mul (param $a i64) (param $b i64) (result i32)
  (if (i64.eqz (local.get $a)) (then (return (i32.const 1))))
  (i64.le_u (local.get $b) (i64.div_u (i64.const -1) (local.get $a))))

;; The sum or the product; a trap, which denies, where it is not below 2^64.
(func $tally.add (param $a i64) (param $b i64) (result i64)
  (if (i32.eqz (call $tally.fits_add (local.get $a) (local.get $b))) (then (unreachable)))
  (i64.add (local.get $a) (local.get $b)))

(func $tally.mul (param $a i64) (param $b i64) (result i64)
  (if (i32.eqz (call $tally.fits_mul (local.get $a) (local.get $b))) (then (unreachable)))
  (i64.mul (local.get $a) (local.get $b)))

;; --- reading -----------------------------------------------------------------------------------------

(global $tally._at (mut i32) (i32.const 0)) ;; what is opened: the address of the next byte
(global $tally._end (mut i32) (i32.const 0)) ;; and the address behind the last
(global $tally.major (mut i32) (i32.const 0)) ;; of the head read last, 0 natural to 7 simple
(global $tally.argument (mut i64) (i64.const 0))
(global $tally.found (mut i64) (i64.const 0)) ;; the text, content or value read last

(func $tally.open (param $bytes i64)
  (global.set $tally._at (call $tally.address (local.get $bytes)))
  (global.set $tally._end (i32.add (global.get $tally._at) (call $tally.size (local.get $bytes)))))

;; What is opened from the next byte on.
(func $tally.left (result i64)
  (call $tally.text_at (global.get $tally._at) (i32.sub (global.get $tally._end) (global.get $tally._at))))

(func $tally._left_size (result i64)
  (i64.extend_i32_u (i32.sub (global.get $tally._end) (global.get $tally._at))))

(func $tally.read_head (result i32)
  (local $first i32) (local $info i32)
  (if (i32.ge_u (global.get $tally._at) (global.get $tally._end)) (then (return (i32.const 1))))
  (local.set $first (i32.load8_u (global.get $tally._at)))
  (local.set $info (i32.and (local.get $first) (i32.const 31)))
  (global.set $tally._at (i32.add (global.get $tally._at) (i32.const 1)))
  (global.set $tally.major (i32.shr_u (local.get $first) (i32.const 5)))
  (global.set $tally.argument (i64.extend_i32_u (local.get $info)))
  (if (i32.and
      (i32.lt_u (global.get $tally.major) (i32.const 6))
      (i32.lt_u (local.get $info) (i32.const 24)))
    (then (return (i32.const 0))))
  (if (i32.or
      (i32.eq (global.get $tally.major) (i32.const 6))
      (i32.gt_u (local.get $info) (i32.const 27)))
    (then (return (i32.const 1))))
  (if (i32.eq (global.get $tally.major) (i32.const 7))
    (then (return (call $tally._read_simple (local.get $info)))))
  (call $tally._read_argument (i32.shl (i32.const 1) (i32.sub (local.get $info) (i32.const 24)))))

;; An argument of 1, 2, 4 or 8 bytes, in its shortest form.
(func $tally._read_argument (param $size i32) (result i32)
  (local $argument i64) (local $end i32)
  (if (i64.gt_u (i64.extend_i32_u (local.get $size)) (call $tally._left_size)) (then (return (i32.const 1))))
  (local.set $end (i32.add (global.get $tally._at) (local.get $size)))
  (loop $more
    (local.set $argument (i64.or
      (i64.shl (local.get $argument) (i64.const 8))
      (i64.load8_u (global.get $tally._at))))
    (global.set $tally._at (i32.add (global.get $tally._at) (i32.const 1)))
    (br_if $more (i32.lt_u (global.get $tally._at) (local.get $end))))
  (global.set $tally.argument (local.get $argument))
  (if (i32.eq (local.get $size) (i32.const 1))
    (then (return (i64.lt_u (local.get $argument) (i64.const 24)))))
  (i64.lt_u
    (local.get $argument)
    (i64.shl (i64.const 1) (i64.extend_i32_u (i32.mul (i32.const 4) (local.get $size))))))

;; False, true, null, or a float, whose bits pass unread.
(func $tally._read_simple (param $info i32) (result i32)
  (if (i32.and (i32.ge_u (local.get $info) (i32.const 20)) (i32.le_u (local.get $info) (i32.const 22)))
    (then (return (i32.const 0))))
  (if (i32.lt_u (local.get $info) (i32.const 25)) (then (return (i32.const 1))))
  (global.set $tally.argument (i64.const 0))
  (call $tally._pass (i64.shl (i64.const 1) (i64.extend_i32_u (i32.sub (local.get $info) (i32.const 24))))))

(func $tally._pass (param $size i64) (result i32)
  (if (i64.gt_u (local.get $size) (call $tally._left_size)) (then (return (i32.const 1))))
  (global.set $tally._at (i32.add (global.get $tally._at) (i32.wrap_i64 (local.get $size))))
  (i32.const 0))

;; So many bytes, as `$tally.found`.
(func $tally.take (param $size i64) (result i32)
  (local $start i32)
  (local.set $start (global.get $tally._at))
  (if (call $tally._pass (local.get $size)) (then (return (i32.const 1))))
  (global.set $tally.found (call $tally.text_at (local.get $start) (i32.wrap_i64 (local.get $size))))
  (i32.const 0))

;; A head of this major type; its argument is in `$tally.argument`.
(func $tally._read_of (param $major i32) (result i32)
  (if (call $tally.read_head) (then (return (i32.const 1))))
  (i32.ne (global.get $tally.major) (local.get $major)))

(func $tally.read_natural (result i32)
  (call $tally._read_of (i32.const 0)))

(func $tally.read_bytes (result i32)
  (if (call $tally._read_of (i32.const 2)) (then (return (i32.const 1))))
  (call $tally.take (global.get $tally.argument)))

(func $tally.read_text (result i32)
  (if (call $tally._read_of (i32.const 3)) (then (return (i32.const 1))))
  (call $tally.take (global.get $tally.argument)))

;; `$tally.argument` is 1 for true and 0 for false.
(func $tally.read_boolean (result i32)
  (if (call $tally._read_of (i32.const 7)) (then (return (i32.const 1))))
  (global.set $tally.argument (i64.sub (global.get $tally.argument) (i64.const 20)))
  (i64.gt_u (global.get $tally.argument) (i64.const 1)))

;; How many elements (major 4) or entries (major 5) follow, as `$tally.argument`; each takes at least a byte,
;; so more than are left is refused.
(func $tally.read_count (param $major i32) (result i32)
  (if (call $tally._read_of (local.get $major)) (then (return (i32.const 1))))
  (i64.gt_u (global.get $tally.argument) (call $tally._left_size)))

;; Passes over one whole value, counting what is still owed in place of recursing.
(func $tally.skip (result i32)
  (local $owed i64)
  (local.set $owed (i64.const 1))
  (loop $more
    (if (call $tally.read_head) (then (return (i32.const 1))))
    (local.set $owed (i64.sub (local.get $owed) (i64.const 1)))
    (if (i32.eq (i32.shr_u (global.get $tally.major) (i32.const 1)) (i32.const 1)) ;; bytes or text
      (then (if (call $tally._pass (global.get $tally.argument)) (then (return (i32.const 1))))))
    (if (i32.eq (i32.shr_u (global.get $tally.major) (i32.const 1)) (i32.const 2)) ;; list or map
      (then
        (if (i64.gt_u (global.get $tally.argument) (call $tally._left_size)) (then (return (i32.const 1))))
        (local.set $owed (i64.add (local.get $owed) (i64.shl
          (global.get $tally.argument)
          (i64.extend_i32_u (i32.eq (global.get $tally.major) (i32.const 5))))))))
    (br_if $more (i64.ne (local.get $owed) (i64.const 0))))
  (i32.const 0))

(func $tally._found_from (param $start i32)
  (global.set $tally.found
    (call $tally.text_at (local.get $start) (i32.sub (global.get $tally._at) (local.get $start)))))

;; One whole value, as `$tally.found`.
(func $tally.read_item (result i32)
  (local $start i32)
  (local.set $start (global.get $tally._at))
  (if (call $tally.skip) (then (return (i32.const 1))))
  (call $tally._found_from (local.get $start))
  (i32.const 0))

(func $tally._is_at (param $major i32) (result i32)
  (if (i64.eqz (call $tally._left_size)) (then (return (i32.const 0))))
  (i32.eq (i32.shr_u (i32.load8_u (global.get $tally._at)) (i32.const 5)) (local.get $major)))

;; A list whose elements are all of one major type, or of any with 8; as `$tally.found`.
(func $tally.read_items (param $major i32) (result i32)
  (local $start i32) (local $left i64)
  (local.set $start (global.get $tally._at))
  (if (call $tally.read_count (i32.const 4)) (then (return (i32.const 1))))
  (local.set $left (global.get $tally.argument))
  (block $done
    (loop $more
      (br_if $done (i64.eqz (local.get $left)))
      (if (i32.and
          (i32.ne (local.get $major) (i32.const 8))
          (i32.eqz (call $tally._is_at (local.get $major))))
        (then (return (i32.const 1))))
      (if (call $tally.skip) (then (return (i32.const 1))))
      (local.set $left (i64.sub (local.get $left) (i64.const 1)))
      (br $more)))
  (call $tally._found_from (local.get $start))
  (i32.const 0))

;; A text key, as `$tally.found`, behind `last` in canonical order; `last` is 0 before the first.
(func $tally.read_key (param $last i64) (result i32)
  (if (call $tally.read_text) (then (return (i32.const 1))))
  (if (i64.eqz (local.get $last)) (then (return (i32.const 0))))
  (i32.ge_s (call $tally.order (local.get $last) (global.get $tally.found)) (i32.const 0)))

;; A map, as `$tally.found`, and how many entries it has, as `$tally.argument`.
(func $tally.read_map (result i32)
  (local $start i32) (local $count i64) (local $left i64) (local $last i64)
  (local.set $start (global.get $tally._at))
  (if (call $tally.read_count (i32.const 5)) (then (return (i32.const 1))))
  (local.set $count (global.get $tally.argument))
  (local.set $left (local.get $count))
  (block $done
    (loop $more
      (br_if $done (i64.eqz (local.get $left)))
      (if (call $tally.read_key (local.get $last)) (then (return (i32.const 1))))
      (local.set $last (global.get $tally.found))
      (if (call $tally.skip) (then (return (i32.const 1))))
      (local.set $left (i64.sub (local.get $left) (i64.const 1)))
      (br $more)))
  (call $tally._found_from (local.get $start))
  (global.set $tally.argument (local.get $count))
  (i32.const 0))

;; --- looking into values -----------------------------------------------------------------------------

;; Whether a value is of this type. What it is can be read then; of another it is 0.
(func $tally.is_natural (param $item i64) (result i32)
  (call $tally.open (local.get $item))
  (i32.eqz (call $tally.read_natural)))

(func $tally.natural_of (param $item i64) (result i64)
  (if (i32.eqz (call $tally.is_natural (local.get $item))) (then (return (i64.const 0))))
  (global.get $tally.argument))

;; From -2^63 to 2^63-1.
(func $tally.is_integer (param $item i64) (result i32)
  (call $tally.open (local.get $item))
  (if (call $tally.read_head) (then (return (i32.const 0))))
  (i32.and
    (i32.le_u (global.get $tally.major) (i32.const 1))
    (i64.ge_s (global.get $tally.argument) (i64.const 0))))

(func $tally.integer_of (param $item i64) (result i64)
  (if (i32.eqz (call $tally.is_integer (local.get $item))) (then (return (i64.const 0))))
  (if (i32.eqz (global.get $tally.major)) (then (return (global.get $tally.argument))))
  (i64.sub (i64.const -1) (global.get $tally.argument)))

(func $tally.is_text (param $item i64) (result i32)
  (call $tally.open (local.get $item))
  (i32.eqz (call $tally.read_text)))

(func $tally.text_of (param $item i64) (result i64)
  (if (i32.eqz (call $tally.is_text (local.get $item))) (then (return (i64.const 0))))
  (global.get $tally.found))

(func $tally.is_bytes (param $item i64) (result i32)
  (call $tally.open (local.get $item))
  (i32.eqz (call $tally.read_bytes)))

(func $tally.bytes_of (param $item i64) (result i64)
  (if (i32.eqz (call $tally.is_bytes (local.get $item))) (then (return (i64.const 0))))
  (global.get $tally.found))

(func $tally.is_map (param $item i64) (result i32)
  (call $tally.open (local.get $item))
  (i32.eqz (call $tally.read_map)))

(func $tally.is_texts (param $item i64) (result i32)
  (call $tally.open (local.get $item))
  (i32.eqz (call $tally.read_items (i32.const 3))))

(func $tally.is_naturals (param $item i64) (result i32)
  (call $tally.open (local.get $item))
  (i32.eqz (call $tally.read_items (i32.const 0))))

;; How many elements a list or entries a map has.
(func $tally.count (param $item i64) (result i64)
  (call $tally.open (local.get $item))
  (if (call $tally.read_head) (then (return (i64.const 0))))
  (global.get $tally.argument))

;; The elements of a list, or the keys and values of a map in turn, one behind the other; of size 0 when
;; there are none. `$tally.first` is the first of them and `$tally.rest` what stands behind it.
(func $tally.elements (param $item i64) (result i64)
  (call $tally.open (local.get $item))
  (if (call $tally.read_head) (then (return (i64.const 0))))
  (call $tally.left))

(func $tally.first (param $elements i64) (result i64)
  (call $tally.open (local.get $elements))
  (if (call $tally.read_item) (then (unreachable)))
  (global.get $tally.found))

(func $tally.rest (param $elements i64) (result i64)
  (call $tally.open (local.get $elements))
  (if (call $tally.skip) (then (unreachable)))
  (call $tally.left))

;; The value of a key, 0 when the map has no such key.
(func $tally.find (param $map i64) (param $key i64) (result i64)
  (local $rest i64) (local $is_it i32)
  (local.set $rest (call $tally.elements (local.get $map)))
  (block $none
    (loop $more
      (br_if $none (i32.eqz (call $tally.size (local.get $rest))))
      (local.set $is_it (call $tally.equal
        (call $tally.text_of (call $tally.first (local.get $rest)))
        (local.get $key)))
      (local.set $rest (call $tally.rest (local.get $rest)))
      (if (local.get $is_it) (then (return (call $tally.first (local.get $rest)))))
      (local.set $rest (call $tally.rest (local.get $rest)))
      (br $more)))
  (i64.const 0))

(func $tally.has_text (param $texts i64) (param $name i64) (result i32)
  (local $rest i64)
  (local.set $rest (call $tally.elements (local.get $texts)))
  (block $none
    (loop $more
      (br_if $none (i32.eqz (call $tally.size (local.get $rest))))
      (if (call $tally.equal (call $tally.text_of (call $tally.first (local.get $rest))) (local.get $name))
        (then (return (i32.const 1))))
      (local.set $rest (call $tally.rest (local.get $rest)))
      (br $more)))
  (i32.const 0))

;; An empty list restricts nothing.
(func $tally.allows (param $texts i64) (param $name i64) (result i32)
  (if (i64.eqz (call $tally.count (local.get $texts))) (then (return (i32.const 1))))
  (call $tally.has_text (local.get $texts) (local.get $name)))

(func $tally.allows_natural (param $naturals i64) (param $wanted i64) (result i32)
  (local $rest i64)
  (local.set $rest (call $tally.elements (local.get $naturals)))
  (if (i32.eqz (call $tally.size (local.get $rest))) (then (return (i32.const 1))))
  (loop $more
    (if (i64.eq (call $tally.natural_of (call $tally.first (local.get $rest))) (local.get $wanted))
      (then (return (i32.const 1))))
    (local.set $rest (call $tally.rest (local.get $rest)))
    (br_if $more (call $tally.size (local.get $rest))))
  (i32.const 0))

;; Whether `name` may name a dimension in an answer: 1 to 128 bytes of UTF-8.
(func $tally.is_dimension (param $name i64) (result i32)
  (if (i32.gt_u (i32.sub (call $tally.size (local.get $name)) (i32.const 1)) (i32.const 127))
    (then (return (i32.const 0))))
  (call $tally.is_utf8 (local.get $name)))

;; A map from at most 64 dimensions to naturals, as `$tally.found`.
(func $tally.read_amounts (result i32)
  (local $map i64) (local $rest i64) (local $end i32) (local $behind i32) (local $misfits i32)
  (if (call $tally.read_map) (then (return (i32.const 1))))
  (if (i64.gt_u (global.get $tally.argument) (i64.const 64)) (then (return (i32.const 1))))
  (local.set $map (global.get $tally.found))
  (local.set $behind (global.get $tally._at))
  (local.set $end (global.get $tally._end))
  (local.set $rest (call $tally.elements (local.get $map)))
  (block $done
    (loop $more
      (br_if $done (i32.eqz (call $tally.size (local.get $rest))))
      (local.set $misfits (i32.or (local.get $misfits) (i32.eqz
        (call $tally.is_dimension (call $tally.text_of (call $tally.first (local.get $rest)))))))
      (local.set $rest (call $tally.rest (local.get $rest)))
      (local.set $misfits (i32.or (local.get $misfits) (i32.eqz
        (call $tally.is_natural (call $tally.first (local.get $rest))))))
      (local.set $rest (call $tally.rest (local.get $rest)))
      (br $more)))
  (global.set $tally._at (local.get $behind))
  (global.set $tally._end (local.get $end))
  (global.set $tally.found (local.get $map))
  (local.get $misfits))

;; --- judging every byte ------------------------------------------------------------------------------

;; A level for each list and map that the walk is in: how much it owes, whether it is a map, its last key.
(global $tally._level (mut i32) (i32.const 9216)) ;; the address of the present one, 16 bytes each
(global $tally._walk (mut i64) (i64.const 0)) ;; what is not walked yet
(global $tally.is_key (mut i32) (i32.const 0))

(func $tally._level_down (param $owed i32) (param $is_map i32)
  (i32.store (global.get $tally._level) (local.get $owed))
  (i32.store offset=4 (global.get $tally._level) (local.get $is_map))
  (i64.store offset=8 (global.get $tally._level) (i64.const 0)))

;; Begins to walk through a whole value: each value in it in turn, lists and maps before what they hold.
(func $tally.walk (param $bytes i64)
  (global.set $tally._walk (local.get $bytes))
  (global.set $tally._level (i32.const 9216))
  (call $tally._level_down (i32.const 1) (i32.const 0)))

;; Goes to the next place of the walk: 1 when all is walked. `$tally.is_key` says what is due there.
(func $tally._walk_on (result i32)
  (local $owed i32)
  (loop $up
    (local.set $owed (i32.load (global.get $tally._level)))
    (if (i32.eqz (local.get $owed))
      (then
        (if (i32.eq (global.get $tally._level) (i32.const 9216)) (then (return (i32.const 1))))
        (global.set $tally._level (i32.sub (global.get $tally._level) (i32.const 16)))
        (br $up))))
  (global.set $tally.is_key (i32.and
    (i32.load offset=4 (global.get $tally._level))
    (i32.eqz (i32.and (local.get $owed) (i32.const 1)))))
  (i32.store (global.get $tally._level) (i32.sub (local.get $owed) (i32.const 1)))
  (i32.const 0))

;; Goes into the list or map whose head was read: 1 when it is too deep or claims more than is left.
(func $tally._walk_down (result i32)
  (local $is_map i32)
  (if (i64.gt_u (global.get $tally.argument) (call $tally._left_size)) (then (return (i32.const 1))))
  (if (i32.eq (global.get $tally._level) (i32.const 10240)) (then (return (i32.const 1)))) ;; 9216 + 64 * 16
  (local.set $is_map (i32.eq (global.get $tally.major) (i32.const 5)))
  (global.set $tally._level (i32.add (global.get $tally._level) (i32.const 16)))
  (call $tally._level_down
    (i32.shl (i32.wrap_i64 (global.get $tally.argument)) (local.get $is_map))
    (local.get $is_map))
  (i32.const 0))

(func $tally._walk_text (result i32)
  (local $last i64)
  (if (call $tally.take (global.get $tally.argument)) (then (return (i32.const 1))))
  (if (i32.eqz (call $tally.is_utf8 (global.get $tally.found))) (then (return (i32.const 1))))
  (if (i32.eqz (global.get $tally.is_key)) (then (return (i32.const 0))))
  (local.set $last (i64.load offset=8 (global.get $tally._level)))
  (i64.store offset=8 (global.get $tally._level) (global.get $tally.found))
  (if (i64.eqz (local.get $last)) (then (return (i32.const 0))))
  (i32.ge_s (call $tally.order (local.get $last) (global.get $tally.found)) (i32.const 0)))

(func $tally._walk_value (result i32)
  (local $start i32)
  (local.set $start (i32.add (global.get $tally._at) (i32.const 1)))
  (if (call $tally.read_head) (then (return (i32.const 1))))
  (if (i32.eq (global.get $tally.major) (i32.const 3)) (then (return (call $tally._walk_text))))
  (if (global.get $tally.is_key) (then (return (i32.const 1))))
  (global.set $tally.found (i64.const 0))
  (if (i32.eq (global.get $tally.major) (i32.const 1))
    (then (return (i64.lt_s (global.get $tally.argument) (i64.const 0)))))
  (if (i32.eq (global.get $tally.major) (i32.const 2))
    (then (return (call $tally.take (global.get $tally.argument)))))
  (if (i32.eq (global.get $tally.major) (i32.const 7))
    (then (call $tally._found_from (local.get $start)) (return (i32.const 0))))
  (if (i32.eqz (global.get $tally.major)) (then (return (i32.const 0))))
  (call $tally._walk_down))

;; 0 with the next token: its head in `$tally.major` and `$tally.argument`; in `$tally.found` the content of
;; a text or byte string or the bits of a float. 1 behind the whole value. 2 where the bytes are not
;; canonical: spec/01-canonical-form.md, but for the bits of floats, which are not judged.
(func $tally.walk_next (result i32)
  (if (call $tally._walk_on)
    (then (return (select (i32.const 2) (i32.const 1) (call $tally.size (global.get $tally._walk))))))
  (call $tally.open (global.get $tally._walk))
  (if (call $tally._walk_value) (then (return (i32.const 2))))
  (global.set $tally._walk (call $tally.left))
  (i32.const 0))

;; The bytes of all texts and byte strings that stand as values inside; keys of maps do not count. -1 when it
;; is nested deeper than the data model allows. Texts are not judged here, as where they are skipped.
(func $tally.content_bytes (param $item i64) (result i64)
  (local $total i64)
  (call $tally.walk (local.get $item))
  (call $tally.open (local.get $item))
  (loop $more
    (if (call $tally._walk_on) (then (return (local.get $total))))
    (if (call $tally.read_head) (then (return (i64.const -1))))
    (if (i32.eq (i32.shr_u (global.get $tally.major) (i32.const 1)) (i32.const 1)) ;; bytes or text
      (then
        (if (call $tally._pass (global.get $tally.argument)) (then (return (i64.const -1))))
        (if (i32.eqz (global.get $tally.is_key))
          (then (local.set $total (i64.add (local.get $total) (global.get $tally.argument)))))))
    (if (i32.eq (i32.shr_u (global.get $tally.major) (i32.const 1)) (i32.const 2)) ;; list or map
      (then (if (call $tally._walk_down) (then (return (i64.const -1))))))
    (br $more))
  (unreachable))

;; --- writing -----------------------------------------------------------------------------------------

(global $tally._out (mut i32) (i32.const 0)) ;; where the next byte goes
(global $tally._out_start (mut i32) (i32.const 0))
(global $tally._out_end (mut i32) (i32.const 0))

;; Canonical values are written here one after the other; the order of keys is the caller's. A full buffer
;; is a trap.
(func $tally.write_to (param $address i32) (param $room i32)
  (global.set $tally._out (local.get $address))
  (global.set $tally._out_start (local.get $address))
  (global.set $tally._out_end (i32.add (local.get $address) (local.get $room))))

;; What was written, which `run` may return.
(func $tally.written (result i64)
  (call $tally.text_at
    (global.get $tally._out_start)
    (i32.sub (global.get $tally._out) (global.get $tally._out_start))))

(func $tally.write_byte (param $byte i32)
  (if (i32.ge_u (global.get $tally._out) (global.get $tally._out_end)) (then (unreachable)))
  (i32.store8 (global.get $tally._out) (local.get $byte))
  (global.set $tally._out (i32.add (global.get $tally._out) (i32.const 1))))

(func $tally.write_raw (param $bytes i64)
  (local $at i32) (local $left i32)
  (local.set $at (call $tally.address (local.get $bytes)))
  (local.set $left (call $tally.size (local.get $bytes)))
  (if (i32.gt_u (local.get $left) (i32.sub (global.get $tally._out_end) (global.get $tally._out)))
    (then (unreachable)))
  (block $done
    (loop $words
      (br_if $done (i32.lt_u (local.get $left) (i32.const 8)))
      (i64.store align=1 (global.get $tally._out) (i64.load align=1 (local.get $at)))
      (global.set $tally._out (i32.add (global.get $tally._out) (i32.const 8)))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (local.set $left (i32.sub (local.get $left) (i32.const 8)))
      (br $words)))
  (block $done
    (loop $bytes
      (br_if $done (i32.eqz (local.get $left)))
      (i32.store8 (global.get $tally._out) (i32.load8_u (local.get $at)))
      (global.set $tally._out (i32.add (global.get $tally._out) (i32.const 1)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br $bytes))))

;; A head in its shortest form.
(func $tally.write_head (param $major i32) (param $argument i64)
  (local $log i32) (local $left i32)
  (if (i64.lt_u (local.get $argument) (i64.const 24))
    (then
      (call $tally.write_byte
        (i32.or (i32.shl (local.get $major) (i32.const 5)) (i32.wrap_i64 (local.get $argument))))
      (return)))
  (local.set $log (i32.add
    (i64.gt_u (local.get $argument) (i64.const 0xFF))
    (i32.add
      (i64.gt_u (local.get $argument) (i64.const 0xFFFF))
      (i64.gt_u (local.get $argument) (i64.const 0xFFFFFFFF)))))
  (call $tally.write_byte
    (i32.or (i32.shl (local.get $major) (i32.const 5)) (i32.add (i32.const 24) (local.get $log))))
  (local.set $left (i32.shl (i32.const 8) (local.get $log)))
  (loop $more
    (local.set $left (i32.sub (local.get $left) (i32.const 8)))
    (call $tally.write_byte
      (i32.wrap_i64 (i64.shr_u (local.get $argument) (i64.extend_i32_u (local.get $left)))))
    (br_if $more (local.get $left))))

(func $tally.write_natural (param $value i64)
  (call $tally.write_head (i32.const 0) (local.get $value)))

(func $tally.write_integer (param $value i64)
  (if (i64.ge_s (local.get $value) (i64.const 0))
    (then (call $tally.write_head (i32.const 0) (local.get $value)))
    (else (call $tally.write_head (i32.const 1) (i64.sub (i64.const -1) (local.get $value))))))

(func $tally.write_text (param $text i64)
  (call $tally.write_head (i32.const 3) (i64.extend_i32_u (call $tally.size (local.get $text))))
  (call $tally.write_raw (local.get $text)))

(func $tally.write_bytes (param $bytes i64)
  (call $tally.write_head (i32.const 2) (i64.extend_i32_u (call $tally.size (local.get $bytes))))
  (call $tally.write_raw (local.get $bytes)))

(func $tally.write_list (param $count i64)
  (call $tally.write_head (i32.const 4) (local.get $count)))

(func $tally.write_map (param $count i64)
  (call $tally.write_head (i32.const 5) (local.get $count)))

(func $tally.write_boolean (param $value i32)
  (call $tally.write_byte (i32.add (i32.const 0xF4) (local.get $value))))

(func $tally.write_null
  (call $tally.write_byte (i32.const 0xF6)))

;; The token that the walk is at, which may be a float: its bits as they were.
(func $tally.write_token
  (local $bits i32)
  (local.set $bits (call $tally.size (global.get $tally.found)))
  (if (i32.ne (global.get $tally.major) (i32.const 7))
    (then (call $tally.write_head (global.get $tally.major) (global.get $tally.argument)))
    (else
      (if (i32.eqz (local.get $bits))
        (then (call $tally.write_byte (i32.add (i32.const 0xE0) (i32.wrap_i64 (global.get $tally.argument)))))
        (else (call $tally.write_byte (i32.add (i32.const 0xF8) (i32.ctz (local.get $bits))))))))
  (call $tally.write_raw (global.get $tally.found)))
