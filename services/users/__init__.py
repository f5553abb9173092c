"""Accounts: registration, the caller's own profile, and what others see of it."""
