"""Inference: models that predict images, folders, videos and large images in tiles."""

from .command import Summary, infer
from .loading import load
from .predictor import Predictor
from .sources import Frame, find_sources

__all__ = ['Frame', 'Predictor', 'Summary', 'find_sources', 'infer', 'load']
