"""Benchmarks: every workload against every saver, at the same durability, in one run."""
