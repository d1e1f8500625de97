"""The neck of GroupMamba's ImageNet classifiers: pooling, one more block, and a norm."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule

from ..layers import MLP, build_norm, draw_weights
from ..registry import build_part, register_for_all


@register_for_all
class ClassBlock(BaseModule):
    """Average the last map of a backbone over positions, and mix its channels once more.

    The block of GroupMamba (https://arxiv.org/abs/2407.13772) on the pooled
    channels t, a map of one position, with the norm after its mixer:
    ``t = t + norm1(mixer(t))``, ``t = t + ffn(norm2(t))``, ``t = norm(t)``.

    Args:
        in_channels (int): Channels C of the last map.
        mixer (dict): Config of the mixer, without ``dim``; it takes C channels.
            Default: ``dict(type='ModulatedGroupMamba')``.
        ratio (float): Hidden channels of the FFN as a multiple of C. Default: 4.
        norm_cfg (dict): Config of the three norms.
            Default: ``dict(type='LN2d', eps=1e-6)``.
        init_cfg (dict or list[dict], optional): mmengine initialisation
            config. Default: None.
    """

    def __init__(
        self,
        in_channels: int,
        mixer: dict = dict(type='ModulatedGroupMamba'),
        ratio: float = 4.0,
        norm_cfg: dict = dict(type='LN2d', eps=1e-6),
        init_cfg: dict | Sequence[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.mixer = build_part(mixer, 'mixer', dim=in_channels)
        self.norm1 = build_norm(norm_cfg, in_channels)
        self.norm2 = build_norm(norm_cfg, in_channels)
        self.ffn = MLP(in_channels, ratio)
        self.norm = build_norm(norm_cfg, in_channels)
        for module in self.modules():
            draw_weights(module, 'fan_out')

    def forward(self, inputs: torch.Tensor | Sequence[torch.Tensor]) -> tuple[torch.Tensor]:
        """Pool and mix.

        Args:
            inputs (Tensor or Sequence[Tensor]): Maps of a backbone, of which
                the last one, of shape (B, C, H, W), is read.

        Returns:
            tuple[Tensor]: One tensor of shape (B, C).
        """
        x = inputs if isinstance(inputs, torch.Tensor) else inputs[-1]
        x = x.mean((2, 3), keepdim=True)
        x = x + self.norm1(self.mixer(x))
        x = x + self.ffn(self.norm2(x))
        return (self.norm(x).flatten(1),)
