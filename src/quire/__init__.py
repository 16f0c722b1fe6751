"""Quire: a local-first, peer-to-peer, end-to-end encrypted event store."""
