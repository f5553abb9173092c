"""Webhooks: addresses that are told of what happens, signed, in order, until they have taken it."""
