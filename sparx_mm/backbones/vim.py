"""Vim, https://arxiv.org/abs/2401.09417: Mamba in both directions of a sequence of patches."""

from collections.abc import Sequence

import torch

from ..registry import register_for_all
from ..state_dicts import VIM
from .plain import PlainBackbone


@register_for_all
class Vim(PlainBackbone):
    """Vim; its released ImageNet models, for classifiers.

    ``arch`` is ``'tiny'`` or ``'small'``, or a dict that gives at least ``embed_dims``. See
    `PlainBackbone` for the other arguments. Images have one size, 224x224 unless the arch
    says otherwise: ``dict(base='tiny', stem=dict(img_size=384))``. What is returned is no
    map but the class token, which a linear head reads.

    Args:
        arch (str or dict): Name of a variant, or a dict that overrides keys.
            Default: ``'tiny'``.
        out_indices (int or Sequence[int]): Layers whose class tokens are returned.
            Default: -1, the last one.
        **kwargs: Further arguments of `PlainBackbone`.

    Example:
        >>> import torch
        >>> from sparx_mm import Vim
        >>> (token,) = Vim('tiny').eval()(torch.rand(1, 3, 224, 224))
        >>> token.shape
        torch.Size([1, 192])
    """

    arch_zoo = {'tiny': dict(embed_dims=192), 'small': dict(embed_dims=384)}
    arch_defaults = dict(
        num_layers=24,
        convolved_layers=(),
        stem=dict(type='ClassTokenStem'),
        mixer=dict(type='BidirectionalMamba'),
        projection=dict(type='LinearProjection', bias=False),
        norm=dict(type='RMS2d', eps=1e-5),
        ffn=None,
        out_norm=dict(type='RMS2d', eps=1e-5),
    )
    key_map = VIM

    def __init__(
        self, arch: str | dict = 'tiny', out_indices: int | Sequence[int] = -1, **kwargs
    ) -> None:
        super().__init__(arch, out_indices, **kwargs)

    @classmethod
    def map_channels(cls, arch='tiny', out_indices=-1):
        """Return channels and numbers of the tokens; see `Backbone.map_channels`.

        Args:
            arch (str or dict): The backbone's argument. Default: ``'tiny'``.
            out_indices (int or Sequence[int]): The backbone's argument. Default: -1.
        """
        return super().map_channels(arch, out_indices)

    def _extract(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Map images to the class tokens that are returned, each (B, C)."""
        return [out[:, :, self.stem.class_position, 0] for out in super()._extract(x)]
