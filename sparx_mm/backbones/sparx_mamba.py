"""SparX-Mamba: SparX on selective scans."""

from mmengine.registry import MODELS

from ..state_dicts import SPARX
from .hierarchical import HierarchicalBackbone
from .sparx_ablations import ABLATIONS

_TINY = dict(
    embed_dims=(96, 192, 320, 512),
    depths=(2, 2, 7, 2),
    strides=(1, 1, 2, 1),
    starts=(None, 1, 0, 0),
    windows=(None, None, 3, None),
)


@MODELS.register_module()
class SparXMamba(HierarchicalBackbone):
    """SparX-Mamba (https://arxiv.org/abs/2409.09649).

    Args:
        arch (str or dict): ``'tiny'``, ``'small'``, ``'base'`` (paper
            Table 1; released), ``'tiny-ssm'``, ``'tiny-bissm'`` and the other
            variants of the tiny model in the paper's Tables 5 to 8 and 10, see
            `ABLATIONS`; or a dict that gives at least ``embed_dims``,
            ``depths``, ``strides``, ``starts`` and ``windows``.
            Default: ``'tiny'``.
        **kwargs: See `HierarchicalBackbone`.

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
            strides=(1, 1, 3, 1),
            starts=(None, 1, 0, 0),
            windows=(None, None, 3, None),
            stem=dict(type='ConvStem', num_convs=3),
        ),
        'base': dict(
            embed_dims=(120, 240, 396, 636),
            depths=(2, 2, 21, 3),
            strides=(1, 1, 3, 2),
            starts=(None, 1, 0, 2),
            windows=(None, None, 3, None),
            stem=dict(type='ConvStem', num_convs=3),
        ),
        **{f'tiny-{name}': {**_TINY, **changes} for name, changes in ABLATIONS.items()},
    }
    arch_defaults = dict(
        HierarchicalBackbone.arch_defaults,
        mixer=dict(type='SS2D'),
        ffn=dict(type='ConvFFN'),
        norm=dict(type='GN', num_groups=1),
        stem=dict(type='ConvStem'),
        downsample=dict(type='ConvDownsample'),
        dpe=True,
        skip_scale=(False, False, True, True),
    )
    key_map = SPARX

    def __init__(self, arch: str | dict = 'tiny', **kwargs) -> None:
        super().__init__(arch, **kwargs)
