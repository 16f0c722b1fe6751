"""Pure values: events, canonical bytes, ids, keys, sealing, clock. No clock, entropy or I/O is read here."""
