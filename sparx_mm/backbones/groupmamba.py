"""GroupMamba, https://arxiv.org/abs/2407.13772: one scan direction for each group of channels."""

from ..registry import register_for_all
from ..state_dicts import GROUPMAMBA
from .hierarchical import HierarchicalBackbone

# of layers and stages; the stem, the downsamplings and the mixers have 1e-5
_NORM = dict(type='LN2d', eps=1e-6)


def _arch(embed_dims, depths, width):
    return dict(embed_dims=embed_dims, depths=depths, stem=dict(width=width))


@register_for_all
class GroupMamba(HierarchicalBackbone):
    """GroupMamba; its released ImageNet models, in a form for dense tasks.

    ``arch`` is ``'tiny'``, ``'small'`` or ``'base'``, or a dict that gives at least
    ``embed_dims``, multiples of 4, and ``depths`` of four stages; of another number of
    stages, ``ffn=dict(ratio=...)`` too. See `HierarchicalBackbone` for the arguments. Each stage reads the normed map of the one before it, and these are the
    maps that are returned. The released classifiers have one more block and two linear
    layers after the last stage, see `ClassBlock`.

    Example:
        >>> import torch
        >>> from sparx_mm import GroupMamba
        >>> maps = GroupMamba('tiny').eval()(torch.rand(1, 3, 64, 96))
        >>> [tuple(m.shape) for m in maps]  # doctest: +NORMALIZE_WHITESPACE
        [(1, 64, 16, 24), (1, 128, 8, 12), (1, 348, 4, 6), (1, 448, 2, 3)]
    """

    arch_zoo = {
        'tiny': _arch((64, 128, 348, 448), (3, 4, 9, 3), width=32),
        'small': _arch((64, 128, 348, 512), (3, 4, 16, 3), width=64),
        'base': _arch((96, 192, 424, 512), (3, 6, 21, 3), width=64),
    }
    arch_defaults = dict(
        mixer=dict(type='ModulatedGroupMamba'),
        projection=dict(type='Identity'),
        ffn=dict(type='ConvFFN', ratio=(8, 8, 4, 4), shortcut=False),
        norm=_NORM,
        out_norm=_NORM,
        stem=dict(type='DeepStem'),
        downsample=dict(type='ConvDownsample', bias=True, norm_cfg=dict(type='LN2d')),
        dpe=False,
        ffn_dpe=False,
        skip_scale=False,
        trunk_norm=True,
        connections=None,
    )
    key_map = GROUPMAMBA
    convolution_rule = 'fan_out'
