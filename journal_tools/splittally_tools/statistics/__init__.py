"""Statistics of postings: a second store, fed from the journal, that may lag and never decides anything."""
