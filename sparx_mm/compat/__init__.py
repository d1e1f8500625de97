"""Stand-ins for faulty packages of others, and settings of the C library; none acts by itself."""
