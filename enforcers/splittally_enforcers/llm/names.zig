//! Names to what they mean: a name is compared only with those of its length that begin as it does.

pub fn Table(comptime Meaning: type) type {
    return struct {
        meaning: Meaning,
        names: []const []const u8,
        const Row = @This();

        /// What `name` means in these rows, null where nothing is said. Without the compiler's checks, because it is
        /// asked for every key; nothing is read but the name.
        pub inline fn find(comptime rows: []const Row, name: []const u8) ?Meaning {
            @setRuntimeSafety(false);
            @setEvalBranchQuota(100_000);
            switch (name.len) {
                inline 1...longest(rows) => |size| {
                    const start = bits(name, 0, @min(size, 4));
                    inline for (rows) |row| inline for (row.names) |known| {
                        if (known.len == size and start == comptime bits(known, 0, @min(size, 4))) {
                            if (size <= 4 or bits(name, 4, size - 4) == comptime bits(known, 4, size - 4)) return row.meaning;
                        }
                    };
                },
                else => {},
            }
            return null;
        }

        inline fn bits(name: []const u8, comptime start: usize, comptime size: usize) @Int(.unsigned, 8 * size) {
            @setRuntimeSafety(false);
            return @bitCast(name[start..][0..size].*);
        }

        fn longest(comptime rows: []const Row) usize {
            var most: usize = 1;
            for (rows) |row| for (row.names) |name| {
                most = @max(most, name.len);
            };
            return most;
        }
    };
}
