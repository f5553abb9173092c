"""How often something may be done: requests, logins that fail, what a caller may probe."""
