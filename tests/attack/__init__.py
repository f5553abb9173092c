"""One caller against a server that others use: ``make attack``, or ``python -m tests.attack --help``."""
