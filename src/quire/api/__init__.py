"""What people and programs can ask of a node: one table of operations, and HTTP over it.

Must not know: sockets of peers, how a node is run, the command line.
"""
