"""PostgreSQL: its hosts, connections, pools and locks."""
