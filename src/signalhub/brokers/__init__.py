"""Brokers: one small interface, implementations found by entry point; the mock is one of them."""
