"""What tests are built from: real servers, running processes, accounts to act with, and words for waiting.

Nothing here stands in for a part of the service. What differs from production is that the database may forget on a
power failure, and that every test has an account of its own.
"""
