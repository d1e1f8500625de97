"""Data sets that the plugin draws itself."""
from .shapes import CLASSES, draw_sample, make_shapes

__all__ = ['CLASSES', 'draw_sample', 'make_shapes']
