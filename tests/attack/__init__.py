"""What one caller can do to the others, tried against the application."""
