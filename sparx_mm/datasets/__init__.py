"""Data sets that the plugin draws itself, and checks of others."""

from .folders import check_seg_folders
from .shapes import CLASSES, draw_sample, make_shapes
from .transforms import CheckSegMap

__all__ = ['CLASSES', 'CheckSegMap', 'check_seg_folders', 'draw_sample', 'make_shapes']
