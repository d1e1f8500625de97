"""SparX-Swin: SparX on shifted-window attention."""

from mmengine.registry import MODELS

from ..state_dicts import SPARX
from .hierarchical import HierarchicalBackbone


@MODELS.register_module()
class SparXSwin(HierarchicalBackbone):
    """SparX-Swin (https://arxiv.org/abs/2409.09649), section 4.5.

    The parts of Swin Transformer (https://arxiv.org/abs/2103.14030) with
    SparX's connections: in ganglion layers an aggregator makes queries, keys
    and values. Neither code nor weights were released; what the paper leaves
    open was inferred from its counts of parameters and multiply-adds. Those
    of ``'tiny'`` are met (26 M, 4.7 G); ``'base'`` has 87.7 M and 16.4 G
    where the paper prints 88 and 16.2, and no choice of connections was
    found that has both.

    Args:
        arch (str or dict): ``'tiny'``, ``'base'`` (paper section 4.5), or a
            dict that gives at least ``embed_dims``, ``depths``, ``strides``,
            ``starts``, ``windows`` and ``mixer``. Default: ``'tiny'``.
        **kwargs: See `HierarchicalBackbone`.

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
            strides=(1, 1, 2, 1),
            starts=(None, 1, 0, 0),
            windows=(None, None, 3, None),
            mixer=dict(type='ShiftedWindowAttention', num_heads=(3, 6, 10, 18)),
        ),
        'base': dict(
            embed_dims=(120, 240, 396, 616),
            depths=(2, 2, 27, 3),
            strides=(1, 1, 3, 1),
            starts=(None, 1, 0, 2),
            windows=(None, None, 2, None),
            mixer=dict(type='ShiftedWindowAttention', num_heads=(4, 8, 12, 22)),
        ),
    }
    arch_defaults = dict(
        HierarchicalBackbone.arch_defaults,
        # the number of heads has no default
        mixer=None,
        ffn=dict(type='MLP'),
        norm=dict(type='LN2d'),
        stem=dict(type='PatchEmbed'),
        downsample=dict(type='PatchMerging'),
        dpe=False,
        skip_scale=(False, False, False, False),
    )
    key_map = SPARX

    def __init__(self, arch: str | dict = 'tiny', **kwargs) -> None:
        super().__init__(arch, **kwargs)
