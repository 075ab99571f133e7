"""Is there enough? Counters, holds, accounts and postings."""
