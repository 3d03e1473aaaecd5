"""What the database is: tables, the few statements that need its locks, and migrations."""
