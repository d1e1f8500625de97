"""The graph of which layers of a backbone read which, and its drawing."""
