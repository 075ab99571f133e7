"""Every bound of the kernel: name, number, unit last, and the reason beside it.

A bound that can change a verdict is part of the engine id (`spec/03-abi.md`), so changing one is a
change of engine and is journaled when a world is opened.
"""

# --- data model (spec/01-canonical-form.md) -----------------------------------------------------
INT_MIN = -(2**63)
INT_MAX = 2**64 - 1
NATURAL_MAX = 2**64 - 1
DEPTH_MAX = 64  # nesting of arrays and maps; encoders die at thousands, people stop at ten

# --- intents and receipts -----------------------------------------------------------------------
PARAMS_BYTES_MAX = 64 * 1024  # prompts and blobs travel as digest and size
LONG_PARAMS_BYTES_MAX = 256 * 1024  # of calls of models and tools: whole conversations, and files they write
NATIVE_PARAMS_BYTES_MAX = 8 * 1024 * 1024  # a manifest carries its modules and schemas
PAYLOAD_BYTES_MAX = 64 * 1024
RECEIPT_WHOLE_BYTES_MAX = 16 * 1024  # of the release's kinds; a longer one is cut to what is read of it
SENT_BYTES_MAX = 8 * 1024 * 1024  # of a receipt as it is sent: a provider's whole answer, with pictures
KEY_BYTES = 32
ATTEMPT_BYTES = 16
WORLD_BYTES = 16  # the id of a world
HASH_BYTES = 32
SIGNATURE_BYTES = 64  # Ed25519, RFC 8032
PUBLIC_KEY_BYTES = 32
SEED_BYTES = 32  # of a private key
LABELS_MAX = 16  # of one intent; a trace, a run, a session, a user and some tags
LABEL_NAME_BYTES_MAX = 64
LABEL_BYTES_MAX = 256  # of a label's text; ids of every tracer fit
NAME_BYTES_MAX = 128  # grants, accounts, resources, principals, dimensions, kinds
TEXT_BYTES_MAX = 512  # a message, a cause, an order id
LINE_BYTES_MAX = 4 * 1024 * 1024  # one line of an NDJSON stream: a whole answer as receipt
CLOCK_JUMP_NS = 86_400 * 10**9  # who mends a clock sets it by hours; one that breaks is years away
CLOCK_JUMP_NS_MIN = 10**9  # so that most readings need no second clock
TIME_NS_MAX = 2**63 - 1  # the year 2262; keeps `time + duration` inside 64 bits

# --- enforcers (spec/03-abi.md) -----------------------------------------------------------------
ENFORCER_BYTES_MAX = 256 * 1024  # compile time is not metered, so the file is bounded
ENFORCER_PAGES_MAX = 16  # 64 KiB pages; minimum = maximum, so memory.grow can never succeed
ENFORCER_FUNCTIONS_MAX = 2_000
ENFORCER_LOCALS_MAX = 256  # per function; a small file must not explode in the compiler
ENFORCER_EXPORTS_MAX = 64  # listing exports is quadratic in the binding
ENFORCER_GLOBALS_MAX = 256
ENFORCER_TABLE_ELEMENTS_MAX = 1_024
ENFORCER_STACK_BYTES_MAX = 256 * 1024
ENFORCER_FRAMES_BYTES_MAX = 64 * 1024  # declared on one call path: a quarter of the stack
ENFORCER_SEGMENTS_MAX = 256  # copied at every instantiation, outside fuel
ENFORCER_COMPILE_WORK_MAX = 200_000_000  # branches x slots, calls; without it 250 KB took 64 s and 5.6 GB
ENFORCER_HEAVY_WORK = 8_000  # of a call, a division or a branch: 70,000 loops took 1.7 s
ENFORCER_HEAVY_SLOT_WORK = 20  # of a call or a division, for each slot of its function
ENFORCER_LOAD_SLOT_WORK = 40  # of a load, for each slot: 36,000 of them over 250 locals took 1.3 s and 236 MB
CHECK_FUEL_MAX = 8_000_000  # a long input of a tool has 50,000 values; a call of 2 ms at most
INPUT_BYTES_MAX = 400 * 1024  # params, payload and cap params together
OUTPUT_BYTES_MAX = 64 * 1024
OUTPUT_DIMS_MAX = 64
DENY_CODE_BYTES_MAX = 64
DENY_MESSAGE_BYTES_MAX = 512

# --- authority ----------------------------------------------------------------------------------
CHAIN_GRANTS_MAX = 16  # legs of one hold
LIMITS_PER_GRANT_MAX = 128
REVOKED_KEPT_MAX = 1_024  # the last revoked grants: late receipts and refunds mostly come within a day
PAYERS_MAX = 8  # accounts that pay one resource, one after the other
BUDGET_DIMS_MAX = 64
POLICY_RULES_MAX = 1_000
ZONES_MAX = 600  # all that there are
ZONE_TRANSITIONS_MAX = 2_000  # the longest list there is has about 200
ADAPTERS_MAX = 64  # who signs receipts: a team has ten, and each receipt looks through them
ADAPTER_KINDS_MAX = 64  # of one adapter; a gateway carries all kinds of a world
UIDS_MAX = 1_024  # users of one machine that act as one principal
APPROVERS_MAX = 64  # of one rule: each answer of one of them is a record, and the hold keeps who has

# --- price tables (spec/06-manifest.md) ---------------------------------------------------------
PRICES_BYTES_MAX = 3 * 1024 * 1024  # of one table: a frame holds it twice
PRICE_MODELS_MAX = 20_000  # of one table; the largest public list has 3,000
PRICE_TIERS_MAX = 16  # of one model; a row goes to an enforcer whole
MODEL_BYTES_MAX = 256  # names of public lists have up to 120
SNAPSHOTS_MAX = 256  # that one grant names
INLINE_PRICES_BYTES_MAX = 20 * 1024  # of cap params with a whole table: an enforcer takes 24 KiB
PRICE_TABLES_KEPT_MAX = 32  # read tables of a world; the least of them has one model
PRICED_TEMPLATES_KEPT_MAX = 2_048  # of one grant and kind: a model each

# --- economic budgets (spec/11-budgets.md) ------------------------------------------------------
PLAN_ITEMS_MAX = 256  # lines, metrics, constraints, rules, formulas: each list of a plan
BUDGET_NAME_BYTES_MAX = 96  # so that the names of its parts and its reserved account are names too
PART_NAME_BYTES_MAX = 31
CELLS_MAX = 1_024  # of a proposal: lines, what is left of each resource, and formulas
PLAN_BYTES_MAX = 64 * 1024  # a plan is read by people
ACTIONS_PER_RULE_MAX = 16
CASCADE_DEPTH_MAX = 8  # rules that make rules fall due
CASCADE_FIRINGS_MAX = 256  # of rules by deposits, for one cause at one time: 16 budgets of 16 rules
CASCADE_NAMED_MAX = 256  # rules that are named because they do not fire
FAILING_TOLD_MAX = 64  # permissions that an amendment is told it makes fail, each in a finding
PROPOSALS_OPEN_MAX = 64  # of one budget: more than people answer
PROPOSALS_ENDED_MAX = 64  # of one budget, the last; the journal has all of them
PROPOSAL_STEPS_MAX = 32  # comments and offers: each records the row anew. What ends it always fits
PROPOSAL_VOTES_MAX = 256  # of one proposal, as many as a quorum may need
WEIGHT_MAX = 10**9  # of a share, and of a side of a rate's fraction: products stay far below 2^128

# --- accounts: together they keep every balance inside -2^63 ... 2^64-1 -----------------------------
ISSUED_MAX = 2**63  # of one resource: what the external accounts below zero lack together
DEBTS_MAX = 2**63 - 1  # the debt limits of all accounts, or what one owes where that is more

# --- runtime ------------------------------------------------------------------------------------
GROUP_MAX = 64  # frames of one commit
MEMBERS_MAX = 64  # intents of one linked group
TICK_ITEMS_MAX = 256  # due items of one tick frame
QUEUE_MAX = 4_096  # intents that wait for the writer; one more is answered busy
OPEN_HOLDS_MAX = 4_000_000  # back-pressure: a new intent above it is answered over_capacity
RECALL_FRAMES_MAX = 4_096  # bounded cache of decision frames read back for settling

# --- journal ------------------------------------------------------------------------------------
FRAME_BYTES_MAX = 16 * 1024 * 1024
INDEX_FLUSH_ROWS = 60_000  # from so many on, the rows in memory are written as a run
SNAPSHOT_FRAMES = 65_536  # frames between snapshots of a long run
MAP_BYTES_FIRST = 1 << 30  # address space, not disk: the file is sparse
MAP_BYTES_MAX = 1 << 44
WRITER_LOCK_SECONDS_MAX = 10

# --- expressions (spec/04-pipeline.md) ----------------------------------------------------------
EXPR_BYTES_MAX = 8 * 1024
EXPR_NODES_MAX = 1_000
EXPR_DEPTH_MAX = 32
EXPR_STEPS_MAX = 10_000
