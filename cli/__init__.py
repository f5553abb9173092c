"""Commands for those who operate the server: ``python -m cli --help``."""
