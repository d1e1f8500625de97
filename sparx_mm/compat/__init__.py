"""Stand-ins for faults of other packages; each has an explicit ``install()``."""
