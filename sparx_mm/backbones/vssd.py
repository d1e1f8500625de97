"""VSSD, https://arxiv.org/abs/2407.18559: states that all positions share."""

from ..registry import register_for_all
from ..state_dicts import VSSD as KEY_MAP
from .hierarchical import HierarchicalBackbone

_NORM = dict(type='LN2d')


def _mixers(kind, num_heads, d_state, **options):
    """Name the mixers of three stages, and attention for the last one."""
    return tuple(
        dict(type=kind, num_heads=num_heads[i], d_state=d_state[i], **options) for i in range(3)
    ) + (dict(type='Attention', num_heads=num_heads[3]),)


def _arch(channels, depths, heads, d_state=64):
    return dict(
        embed_dims=tuple(channels * 2**i for i in range(4)),
        depths=depths,
        mixer=_mixers('NonCausalSSD', [heads * 2**i for i in range(4)], [d_state] * 3),
    )


def _iccv(depths):
    return dict(
        embed_dims=(96, 192, 384, 768),
        depths=depths,
        mixer=_mixers('RotaryNonCausalSSD', (4, 4, 8, 16), (12, 24, 48), ssm_ratio=1),
        ffn=dict(ratio=3),
        stem=dict(type='ConvStem', num_convs=3, extra_convs=1, bias=True),
        downsample=dict(type='ConvDownsample', bias=True),
    )


@register_for_all
class VSSD(HierarchicalBackbone):
    """VSSD: non-causal SSD in three stages and attention in the last one.

    ``arch`` is ``'micro'``, ``'tiny'``, ``'small'`` or ``'base'``, the models
    released in 2024; ``'tiny-iccv'`` or ``'small-iccv'``, those of the ICCV
    2025 paper, whose parts are inferred from third parties' copies of the code
    and from its counts (see ``docs/vssd.md``); or a dict that gives at least
    ``embed_dims`` and ``depths`` of four stages; of another number of stages, ``mixer``
    too, a config with its ``type`` for each stage. See `HierarchicalBackbone` for the arguments.

    Example:
        >>> import torch
        >>> from sparx_mm import VSSD
        >>> maps = VSSD('tiny').eval()(torch.rand(1, 3, 64, 96))
        >>> [tuple(m.shape) for m in maps]  # doctest: +NORMALIZE_WHITESPACE
        [(1, 64, 16, 24), (1, 128, 8, 12), (1, 256, 4, 6), (1, 512, 2, 3)]
    """

    arch_zoo = {
        'micro': _arch(48, (2, 2, 8, 4), heads=2, d_state=48),
        'tiny': _arch(64, (2, 4, 8, 4), heads=2),
        'small': _arch(64, (3, 4, 21, 5), heads=2),
        'base': _arch(96, (3, 4, 21, 5), heads=3),
        'tiny-iccv': _iccv((2, 2, 8, 2)),
        'small-iccv': _iccv((2, 4, 15, 4)),
    }
    arch_defaults = dict(
        mixer=_mixers('NonCausalSSD', (2, 4, 8, 16), [64] * 3),
        projection=dict(type='LinearProjection', bias=False),
        ffn=dict(type='MLP'),
        norm=_NORM,
        out_norm=_NORM,
        stem=dict(type='ResidualStem'),
        downsample=dict(type='InvertedDownsample'),
        dpe=True,
        ffn_dpe=True,
        skip_scale=False,
        connections=None,
    )
    key_map = KEY_MAP
    convolution_rule = 'torch'
