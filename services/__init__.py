"""The shared service layer: inputs, rules, permissions, queries and events. Both doors resolve through it.

Every function takes ``session, actor`` first. Services never commit: the doors own the
transaction.
"""
