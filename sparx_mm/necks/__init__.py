"""What stands between a backbone and a head."""

from .class_block import ClassBlock
from .norm_pooling import NormPooling

__all__ = ['ClassBlock', 'NormPooling']
