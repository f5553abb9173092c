"""Settings, security primitives and the clock. Nothing here knows which features exist."""
