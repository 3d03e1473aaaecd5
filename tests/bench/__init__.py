"""Benchmarks: ratios within one run, medians over several rounds. Absolute figures belong to the machine."""
