"""One map of names for each family of files."""
