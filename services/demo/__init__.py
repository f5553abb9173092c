"""Projects to look at, for whoever tries Tandem: made by the same services that people's calls reach."""
