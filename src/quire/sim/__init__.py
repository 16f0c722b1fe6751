"""A deterministic simulator: real nodes on real databases, on a virtual network, in virtual time.

Everything follows from one seed. The workload writes what people and networks do into `sim_events`; the
world carries it out; the checker, which knows only `sim_events` and the devices' stores, judges the outcome.
Must not know: sockets, real clocks, the API, terminals.
"""
