"""The vocabulary that every feature's service is written in. Nothing here knows a feature."""
