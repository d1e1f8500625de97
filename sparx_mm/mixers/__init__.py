"""Token mixers: what comes after the projection in a layer."""
from .ss2d import SS2D

__all__ = ['SS2D']
