"""Histories of devices that work offline, with what goes wrong between any two of their steps, and what holds at the
end: ``tests/test_sync.py`` runs some, ``make sync`` many."""
