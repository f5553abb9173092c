"""Tables, engines and sessions, the same for SQLite and PostgreSQL."""
