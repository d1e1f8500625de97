"""The neck of the ImageNet classifiers: a norm and the mean over positions."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule

from ..errors import ConfigError
from ..layers import build_norm
from ..registry import register_for_all


@register_for_all
class NormPooling(BaseModule):
    """Normalise the last map of a backbone and average it over positions.

    With a linear head after it, mmpretrain's ``LinearClsHead`` for example,
    it is the head of the released SparX-Mamba classifiers.

    Args:
        in_channels (int): Channels C of the last map.
        norm_cfg (dict): Config of the norm.
            Default: ``dict(type='GN', num_groups=1)``.
        init_cfg (dict or list[dict], optional): mmengine initialisation
            config. Default: None.
    """

    def __init__(
        self,
        in_channels: int,
        norm_cfg: dict = dict(type='GN', num_groups=1),
        init_cfg: dict | Sequence[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.in_channels = in_channels
        self.norm = build_norm(norm_cfg, in_channels)

    def forward(self, inputs: torch.Tensor | Sequence[torch.Tensor]) -> tuple[torch.Tensor]:
        """Pool.

        Args:
            inputs (Tensor or Sequence[Tensor]): Maps of a backbone, of which
                the last one, of shape (B, C, H, W), is read.

        Returns:
            tuple[Tensor]: One tensor of shape (B, C).

        Raises:
            ConfigError: If the map has another number of channels.
        """
        x = inputs if isinstance(inputs, torch.Tensor) else inputs[-1]
        # a tracer has no numbers
        if not torch.jit.is_tracing() and x.shape[1] != self.in_channels:
            raise ConfigError(
                f'NormPooling has in_channels={self.in_channels}, and the map that it reads has '
                f'{x.shape[1]} channels: give in_channels={x.shape[1]}'
            )
        return (self.norm(x).mean((2, 3)),)
