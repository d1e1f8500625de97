"""Triton kernels and launches that the operators share."""
