"""SQLite: one database file per home, the only place where events and views are kept.

Must not know: what event types exist, how events travel.
"""
