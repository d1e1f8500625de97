"""What stands between a backbone and a head."""

from .class_block import ClassBlock
from .norm_pooling import NormPooling
from .simple_feature_pyramid import SimpleFeaturePyramid

__all__ = ['ClassBlock', 'NormPooling', 'SimpleFeaturePyramid']
