"""What a layer projects its mixer's input with."""

from .concat import ConcatAggregator, ValueAggregator
from .csa import CSA
from .dmca import DMCA, channel_attention
from .sca import SCA
from .sra import SRA

__all__ = [
    'CSA',
    'ConcatAggregator',
    'DMCA',
    'SCA',
    'SRA',
    'ValueAggregator',
    'channel_attention',
]
