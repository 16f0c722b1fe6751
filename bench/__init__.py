"""Benchmarks: `make bench` prints a table and writes bench/out/latest.json. Compare figures of one run only."""
