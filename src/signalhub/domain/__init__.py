"""The domain: pure functions and frozen structs. No clock, no randomness, no I/O."""
