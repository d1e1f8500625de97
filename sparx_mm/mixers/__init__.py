"""Token mixers: what comes after the projection in a layer."""

from .ss2d import SS2D
from .ssm import SSM, BiSSM
from .window_attention import ShiftedWindowAttention

__all__ = ['SS2D', 'SSM', 'BiSSM', 'ShiftedWindowAttention']
