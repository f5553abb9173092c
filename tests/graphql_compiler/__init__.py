"""The tests of the compiler: they need nothing of the application."""
