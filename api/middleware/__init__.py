"""What stands around every request: its id and its time, compression, CORS."""
