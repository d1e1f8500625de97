"""Arithmetic and threads that the numba kernels of the operators share."""
