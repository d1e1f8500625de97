"""Arithmetic and threads that the numba kernels share."""
