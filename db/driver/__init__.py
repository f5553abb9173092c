"""Connections, transactions and statements on SQLite and PostgreSQL. It knows no table."""
