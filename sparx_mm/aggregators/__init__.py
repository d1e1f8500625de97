"""Aggregators: what makes the mixer's input of several layers' maps.

An aggregator is a module built with ``dim``, the number of channels C,
``num_sources``, ``out_channels`` and its own options; one that takes
``norm_cfg`` gets the backbone's. It maps ``(x, sources)``, the layer's normed map
and earlier maps of the stage, each (B, C, H, W), to (B, out_channels, H, W). One whose
attribute ``takes_norm`` is True gets the map not normed, and the norm as a third argument.
"""

from .concat import ConcatAggregator, ValueAggregator
from .csa import CSA
from .dmca import DMCA, channel_attention
from .sca import SCA
from .sra import SRA
from .weighted import WeightedAverage

__all__ = [
    'CSA',
    'ConcatAggregator',
    'DMCA',
    'SCA',
    'SRA',
    'ValueAggregator',
    'WeightedAverage',
    'channel_attention',
]
