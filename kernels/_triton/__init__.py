"""Triton kernels that the operators share; imported only where Triton is installed."""
