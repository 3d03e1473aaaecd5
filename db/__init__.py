"""The database: tables, migrations, and the statements that need its locks or write in bulk."""
