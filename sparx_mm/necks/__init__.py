"""What stands between a backbone and a head."""

from .norm_pooling import NormPooling

__all__ = ['NormPooling']
