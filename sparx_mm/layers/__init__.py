"""What a layer is built of."""

from .depthwise import DepthwiseConv
from .drop_path import DropPath
from .ffn import MLP, ConvFFN
from .layer import Layer
from .norm import ChannelAffine, GroupNorm, LayerNorm2d, build_norm
from .position import DynamicPositionEncoding
from .projection import LinearProjection
from .recompute import checkpoint_layer
from .stem import ConvDownsample, ConvStem, PatchEmbed, PatchMerging

__all__ = [
    'ChannelAffine',
    'ConvDownsample',
    'ConvFFN',
    'ConvStem',
    'DepthwiseConv',
    'DropPath',
    'DynamicPositionEncoding',
    'GroupNorm',
    'LayerNorm2d',
    'MLP',
    'PatchEmbed',
    'PatchMerging',
    'LinearProjection',
    'Layer',
    'build_norm',
    'checkpoint_layer',
]
