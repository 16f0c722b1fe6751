"""Quire and other peers side by side: `make bench-peers`. Ratios of one run hold on a machine whose speed varies."""
