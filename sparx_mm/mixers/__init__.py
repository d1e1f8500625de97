"""Token mixers: what follows the projection in a layer.

A mixer is a module built with ``dim``, the number of channels C, and its own
options. It has an attribute ``in_channels`` and maps (B, in_channels, H, W) to
(B, C, H, W).
"""

from .attention import Attention
from .noncausal_ssd import NonCausalSSD, RotaryNonCausalSSD
from .ss2d import SS2D
from .ssm import SSM, BiSSM
from .window_attention import ShiftedWindowAttention

__all__ = [
    'SS2D',
    'SSM',
    'Attention',
    'BiSSM',
    'NonCausalSSD',
    'RotaryNonCausalSSD',
    'ShiftedWindowAttention',
]
