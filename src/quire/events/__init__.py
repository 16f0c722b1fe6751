"""From bytes to views: the handler contract, the one door into the store, blocking, rebuild, verification.

Must not know: which handlers exist (the registry is passed in), or how events travel.
"""
