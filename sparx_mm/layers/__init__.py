"""What a layer is built of."""

from .block import SparXLayer
from .checkpoint import checkpoint_layer
from .depthwise import DepthwiseConv
from .drop_path import DropPath
from .ffn import MLP, ConvFFN
from .norm import ChannelAffine, GroupNorm, LayerNorm2d, build_norm
from .position import DynamicPositionEncoding
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
    'SparXLayer',
    'build_norm',
    'checkpoint_layer',
]
