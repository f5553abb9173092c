"""Tasks: their inputs and records, the filter language, reading and changing them."""
