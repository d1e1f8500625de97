"""PlainMamba, https://arxiv.org/abs/2403.17695: snake scans on one map, without stages."""

from ..registry import register_for_all
from ..state_dicts import PLAINMAMBA
from .plain import PlainBackbone


def _arch(embed_dims, num_layers, num_convs, **others):
    return dict(
        embed_dims=embed_dims, num_layers=num_layers, stem=dict(num_convs=num_convs), **others
    )


@register_for_all
class PlainMamba(PlainBackbone):
    """PlainMamba; its released ImageNet models and segmentors.

    ``arch`` is ``'l1'``, ``'l2'`` or ``'l3'``, or a dict that gives at least
    ``embed_dims`` and ``num_layers``. See `PlainBackbone` for the arguments. Without
    ``out_indices``, four maps of the same size are returned, as the released segmentors
    read them; a classifier reads the last, ``out_indices=-1``.

    Example:
        >>> import torch
        >>> from sparx_mm import PlainMamba
        >>> maps = PlainMamba('l1').eval()(torch.rand(1, 3, 64, 96))
        >>> [tuple(m.shape) for m in maps]  # doctest: +NORMALIZE_WHITESPACE
        [(1, 192, 4, 6), (1, 192, 4, 6), (1, 192, 4, 6), (1, 192, 4, 6)]
    """

    arch_zoo = {
        'l1': _arch(192, 24, num_convs=1, convolved_layers=(0,)),
        'l2': _arch(384, 24, num_convs=2),
        'l3': _arch(448, 36, num_convs=2),
    }
    arch_defaults = dict(
        convolved_layers=(),
        stem=dict(type='PlainStem'),
        mixer=dict(type='SnakeScan'),
        projection=dict(type='LinearProjection'),
        norm=dict(type='LN2d'),
        ffn=None,
        out_norm=dict(type='LN2d', eps=1e-6),
    )
    key_map = PLAINMAMBA
    convolution_rule = 'torch'
