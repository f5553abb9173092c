"""SQLite: readers, the one writer, and what is done beside the requests."""
