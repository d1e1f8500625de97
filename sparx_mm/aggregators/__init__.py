"""What a layer projects its mixer's input with."""
from .dmca import DMCA, channel_attention
from .pointwise import PointwiseProjection

__all__ = ['DMCA', 'PointwiseProjection', 'channel_attention']
