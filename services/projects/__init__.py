"""Projects: who sees them, what a role may do there, and their life from creation to archive."""
