"""Readers of what other systems export: each makes the records that the writer stores."""
