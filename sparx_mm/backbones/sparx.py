"""SparX-Mamba and SparX-Swin, https://arxiv.org/abs/2409.09649."""

from ..registry import register_for_all
from ..state_dicts import SPARX
from .hierarchical import HierarchicalBackbone
from .sparx_ablations import ABLATIONS

# what the paper's Table 1 and section 4.5 have in common
_CONNECTIONS = dict(strides=(1, 1, 2, 1), starts=(None, 1, 0, 0), windows=(None, None, 3, None))
_OUT_NORM = dict(type='LN2d', eps=1e-6)
_TINY = dict(embed_dims=(96, 192, 320, 512), depths=(2, 2, 7, 2), connections=_CONNECTIONS)


@register_for_all
class SparXMamba(HierarchicalBackbone):
    """SparX on selective scans; paper section 3.

    ``arch`` is ``'tiny'``, ``'small'`` or ``'base'`` (Table 1; released),
    ``'tiny-ssm'``, ``'tiny-bissm'`` or another of the tiny model's variants in
    Tables 5 to 8 and 10, see `ABLATIONS`, or a dict that gives at least
    ``embed_dims`` and ``depths`` of four stages. Of another number of stages it gives
    ``skip_scale`` too, and in ``connections``, if there are any,
    ``aggregator=dict(reduction=...)``. See `HierarchicalBackbone` for the arguments.

    Example:
        >>> import torch
        >>> from sparx_mm import SparXMamba
        >>> maps = SparXMamba('tiny').eval()(torch.rand(1, 3, 64, 96))
        >>> [tuple(m.shape) for m in maps]  # doctest: +NORMALIZE_WHITESPACE
        [(1, 96, 16, 24), (1, 192, 8, 12), (1, 320, 4, 6), (1, 512, 2, 3)]
    """

    arch_zoo = {
        'tiny': _TINY,
        'small': dict(
            embed_dims=(96, 192, 328, 544),
            depths=(2, 2, 17, 2),
            connections=dict(_CONNECTIONS, strides=(1, 1, 3, 1)),
            stem=dict(num_convs=3),
        ),
        'base': dict(
            embed_dims=(120, 240, 396, 636),
            depths=(2, 2, 21, 3),
            connections=dict(_CONNECTIONS, strides=(1, 1, 3, 2), starts=(None, 1, 0, 2)),
            stem=dict(num_convs=3),
        ),
        **{f'tiny-{name}': dict(base='tiny', **changes) for name, changes in ABLATIONS.items()},
    }
    arch_defaults = dict(
        mixer=dict(type='SS2D'),
        projection=dict(type='LinearProjection'),
        ffn=dict(type='ConvFFN'),
        norm=dict(type='GN', num_groups=1),
        out_norm=_OUT_NORM,
        stem=dict(type='ConvStem'),
        downsample=dict(type='ConvDownsample'),
        dpe=True,
        ffn_dpe=False,
        skip_scale=(False, False, True, True),
        connections=None,
    )
    key_map = SPARX


@register_for_all
class SparXSwin(HierarchicalBackbone):
    """SparX on shifted-window attention; paper section 4.5.

    The parts of Swin Transformer (https://arxiv.org/abs/2103.14030) with
    SparX's connections: in ganglion layers an aggregator makes queries, keys
    and values. Neither code nor weights were released; what the paper leaves
    open was inferred from its counts of parameters and multiply-adds. Those
    of ``'tiny'`` are met (26 M, 4.7 G); ``'base'`` has 87.7 M and 16.4 G
    where the paper prints 88 and 16.2, and no choice of connections was
    found that has both.

    ``arch`` is ``'tiny'``, ``'base'``, or a dict that gives at least
    ``embed_dims``, ``depths`` and ``mixer=dict(num_heads=...)``, and for ``connections`` of
    another number of stages than four, ``aggregator=dict(reduction=...)`` in them. See
    `HierarchicalBackbone` for the arguments.

    Example:
        >>> import torch
        >>> from sparx_mm import SparXSwin
        >>> maps = SparXSwin('tiny').eval()(torch.rand(1, 3, 64, 96))
        >>> [tuple(m.shape) for m in maps]  # doctest: +NORMALIZE_WHITESPACE
        [(1, 96, 16, 24), (1, 192, 8, 12), (1, 320, 4, 6), (1, 576, 2, 3)]
    """

    arch_zoo = {
        'tiny': dict(
            embed_dims=(96, 192, 320, 576),
            depths=(2, 2, 7, 2),
            connections=_CONNECTIONS,
            mixer=dict(num_heads=(3, 6, 10, 18)),
        ),
        'base': dict(
            embed_dims=(120, 240, 396, 616),
            depths=(2, 2, 27, 3),
            connections=dict(
                strides=(1, 1, 3, 1), starts=(None, 1, 0, 2), windows=(None, None, 2, None)
            ),
            mixer=dict(num_heads=(4, 8, 12, 22)),
        ),
    }
    arch_defaults = dict(
        mixer=dict(type='ShiftedWindowAttention', shifted=dict(alternate=(False, True))),
        projection=dict(type='LinearProjection'),
        ffn=dict(type='MLP'),
        norm=dict(type='LN2d'),
        out_norm=_OUT_NORM,
        stem=dict(type='PatchEmbed'),
        downsample=dict(type='PatchMerging'),
        dpe=False,
        ffn_dpe=False,
        skip_scale=False,
        connections=None,
    )
    key_map = SPARX
