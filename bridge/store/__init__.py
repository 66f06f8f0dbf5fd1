"""The only SQL: an append-only, hash-chained ledger and the narrow tables that are derived from it."""
