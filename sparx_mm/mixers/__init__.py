"""Token mixers: what follows the projection in a layer.

A mixer is a module built with ``dim``, the number of channels C, and its own
options. It has an attribute ``in_channels`` and maps (B, in_channels, H, W) to
(B, C, H, W). One that normalises its input itself says so by an attribute
``owns_norm``, which is True.
"""

from .attention import Attention
from .bidirectional_mamba import BidirectionalMamba
from .channel_ssm import ChannelSSM
from .cs2d import CS2D, CVSSMixer
from .group_mamba import ModulatedGroupMamba
from .noncausal_ssd import NonCausalSSD, RotaryNonCausalSSD
from .snake_scan import SnakeScan
from .ss2d import SS2D
from .ssm import SSM, BiSSM
from .window_attention import ShiftedWindowAttention

__all__ = [
    'CS2D',
    'SS2D',
    'SSM',
    'Attention',
    'BiSSM',
    'BidirectionalMamba',
    'ChannelSSM',
    'CVSSMixer',
    'ModulatedGroupMamba',
    'NonCausalSSD',
    'RotaryNonCausalSSD',
    'ShiftedWindowAttention',
    'SnakeScan',
]
