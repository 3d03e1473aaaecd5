"""Benchmarks: ratios within one run, medians over several rounds. Absolute figures depend on the machine."""
