"""Stand-ins for faulty packages of others; each has an explicit ``install()``."""
