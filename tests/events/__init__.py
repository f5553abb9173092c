"""What is promised of the feed, held to real servers under load: ``python -m tests.events --help``."""
