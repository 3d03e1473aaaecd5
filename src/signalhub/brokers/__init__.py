"""Brokers: one small interface, found by entry point; the mock is one implementation."""
