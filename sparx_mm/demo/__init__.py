"""The drawn data of the demo, and pictures of predictions."""

from .aerial import AERIAL_CLASSES, draw_aerial
from .aerial_set import make_aerial
from .predictions import draw_predictions, write_picture
from .shapes import CLASSES, draw_sample, make_shapes

__all__ = [
    'AERIAL_CLASSES',
    'CLASSES',
    'draw_aerial',
    'draw_predictions',
    'draw_sample',
    'make_aerial',
    'make_shapes',
    'write_picture',
]
