"""What a network is built of beside mixers and aggregators."""

from .class_token import ClassTokenStem
from .depthwise import DepthwiseConv, ResidualDepthwiseConv
from .downsample import ConvDownsample, InvertedDownsample, PatchMerging
from .ffn import EFFN, MLP, ConvFFN
from .fusion import AddFusion, MFMSFusion
from .gates import ChannelGate, ChannelMLP, SpatialGate
from .kept_tokens import KeptTokens, take_tokens
from .layer import Layer
from .norm import BatchNorm2d, GroupNorm, LayerNorm2d, RMSNorm2d, build_norm
from .plain import ConvolvedLayer, PlainStem
from .pointwise import PointwiseConv, pointwise
from .position import DynamicPositionEncoding
from .projection import IdentityProjection, LinearProjection
from .recompute import checkpoint_layer
from .shortcut import ChannelAffine, DropPath
from .stem import ConvStem, DeepStem, PatchEmbed, ResidualStem
from .upsample import PatchExpand
from .weighted_sum import WeightedSum
from .weights import draw_weights

__all__ = [
    'EFFN',
    'MLP',
    'AddFusion',
    'BatchNorm2d',
    'ChannelAffine',
    'ChannelGate',
    'ChannelMLP',
    'ClassTokenStem',
    'ConvDownsample',
    'ConvFFN',
    'ConvStem',
    'ConvolvedLayer',
    'DeepStem',
    'DepthwiseConv',
    'DropPath',
    'DynamicPositionEncoding',
    'GroupNorm',
    'IdentityProjection',
    'InvertedDownsample',
    'KeptTokens',
    'Layer',
    'LayerNorm2d',
    'LinearProjection',
    'MFMSFusion',
    'PatchEmbed',
    'PatchExpand',
    'PatchMerging',
    'PlainStem',
    'PointwiseConv',
    'RMSNorm2d',
    'ResidualDepthwiseConv',
    'ResidualStem',
    'SpatialGate',
    'WeightedSum',
    'build_norm',
    'checkpoint_layer',
    'draw_weights',
    'pointwise',
    'take_tokens',
]
