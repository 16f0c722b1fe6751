"""Who is in a space, on which devices, with which rights and keys: decided by signed events alone.

Pure and the same on every device, whatever the order in which events arrive. Must not know: bytes,
signatures, stores, names that people see. docs/membership.md states the rules in words.
"""
