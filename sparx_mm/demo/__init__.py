"""The drawn data of the demo, and pictures of predictions."""

from .predictions import draw_predictions, write_picture
from .shapes import CLASSES, draw_sample, make_shapes

__all__ = ['CLASSES', 'draw_predictions', 'draw_sample', 'make_shapes', 'write_picture']
