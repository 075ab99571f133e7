;; @NAME@: to whom one `@KIND@` may go, and how much of `@DIM@` it reserves and uses.
;;
;; $check is asked before the effect and $settle after it. Both see nothing but the question: no clock, no
;; file, no earlier call. See spec/03-abi.md for the rules and the SDK's README for every field type.

(module
  (@splittally)

  (func $check
    (local $allowed i64) (local $has_most i32) (local $most i64) (local $to i64) (local $count i64)
    (br_if 0 (call $tally.other_kind (@text "@KIND@")))
    (call $tally.optional (@text "to") (global.get $tally.texts) (i64.const 0))
    (call $tally.optional (@text "count_max") (global.get $tally.natural) (i64.const 0))
    (br_if 0 (call $tally.read_cap))
    (local.set $allowed (call $tally.value (@text "to")))
    (local.set $has_most (call $tally.has (@text "count_max")))
    (local.set $most (call $tally.value (@text "count_max")))
    (call $tally.required (@text "to") (global.get $tally.text))
    (call $tally.optional (@text "count") (global.get $tally.natural) (i64.const 1))
    (br_if 0 (call $tally.read_params))
    (local.set $to (call $tally.value (@text "to")))
    (local.set $count (call $tally.value (@text "count")))
    (if (i32.eqz (call $tally.allows (local.get $allowed) (local.get $to)))
      (then
        (call $tally.refuse (@text "to_not_allowed"))
        (call $tally.say (@text "to "))
        (call $tally.quote (local.get $to))
        (call $tally.say (@text " is not on the grant's list; use a listed one or ask for a wider grant"))
        (return)))
    (if (i32.and (local.get $has_most) (i64.gt_u (local.get $count) (local.get $most)))
      (then
        (call $tally.refuse (@text "count_too_large"))
        (call $tally.say (@text "count "))
        (call $tally.say_number (local.get $count))
        (call $tally.say (@text " is above the grant's "))
        (call $tally.say_number (local.get $most))
        (call $tally.say (@text "; ask for less at once"))
        (return)))
    (call $tally.put (@text "@DIM@") (local.get $count)))

  (func $settle
    (local $used i64)
    (br_if 0 (call $tally.other_kind (@text "@KIND@")))
    (call $tally.optional (@text "count") (global.get $tally.natural) (i64.const 0))
    (br_if 0 (call $tally.read_payload))
    (if (i32.eqz (global.get $tally.status)) (then
      (local.set $used (call $tally.reserved (@text "@DIM@")))))
    (if (call $tally.has (@text "count")) (then
      (local.set $used (call $tally.value (@text "count")))))
    (call $tally.use (@text "@DIM@") (local.get $used))))
