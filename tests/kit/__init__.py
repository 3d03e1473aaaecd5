"""Shared parts of the tests: real servers, running processes, account clients and polling.

Nothing here replaces a part of the service. Two things differ from production: the database may lose data on a power
failure, and each test has its own account.
"""
