"""What becomes of the service when things fail: one fault at a time, under load. ``python -m tests.faults --help``."""
