"""What people are told by mail: notifications at once, and a digest of the day."""
