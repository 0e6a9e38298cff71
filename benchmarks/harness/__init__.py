"""What the benchmarks share.

`figures`, `prompts`, `workloads` and the adapters of other engines need nothing but the standard library and that
engine: they run in its own environment too.
"""
