"""Which layers of a backbone read which: as data and as a picture."""
