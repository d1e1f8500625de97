"""The one layer that every SparX network is made of."""

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import nn

from .drop_path import DropPath
from .norm import ChannelAffine, build_norm
from .position import DynamicPositionEncoding


class Layer(nn.Module):
    """Position encoding, token mixer and FFN; paper Figure 2.

    .. code-block:: text

        x = dpe(x)
        x = skip1(x) + drop_path(mixer(proj(norm1(x), sources)))
        x = skip2(x) + drop_path(ffn(norm2(x)))

    A normal and a ganglion layer differ in ``proj`` alone, which makes the
    mixer's input: the former's sees only this layer, the latter's is an
    aggregator that reads ``sources`` too.

    Args:
        dim (int): Number of channels C.
        mixer (dict): Config of the token mixer, without ``dim``.
        proj (dict): Config of the projection or aggregator, without ``dim``
            and ``out_channels``.
        ffn (dict): Config of the FFN, without ``dim``.
        norm (dict): Config of the two norms.
            Default: ``dict(type='GN', num_groups=1)``.
        dpe (bool): Whether to start with a position encoding.
            Default: True.
        skip_scale (bool): Whether the shortcuts carry a scale and a bias
            per channel. Default: False.
        drop_path_rate (float): Stochastic depth rate. Default: 0.
    """

    def __init__(
        self,
        dim: int,
        mixer: dict,
        proj: dict,
        ffn: dict,
        norm: dict = dict(type='GN', num_groups=1),
        dpe: bool = True,
        skip_scale: bool = False,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.dpe = DynamicPositionEncoding(dim) if dpe else nn.Identity()
        self.norm1 = build_norm(norm, dim)
        self.mixer = MODELS.build(dict(mixer, dim=dim))
        self.proj = MODELS.build(dict(proj, dim=dim, out_channels=self.mixer.in_channels))
        self.norm2 = build_norm(norm, dim)
        self.ffn = MODELS.build(dict(ffn, dim=dim))
        self.skip1 = ChannelAffine(dim) if skip_scale else nn.Identity()
        self.skip2 = ChannelAffine(dim) if skip_scale else nn.Identity()
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: torch.Tensor, sources: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """Run the layer.

        Args:
            x (Tensor): Map of shape (B, C, H, W).
            sources (Sequence[Tensor]): Earlier maps of the stage, each
                (B, C, H, W), in concatenation order.

        Returns:
            Tensor: Map of shape (B, C, H, W).
        """
        x = self.dpe(x)
        mixed = self.mixer(self.proj(self.norm1(x), sources))
        x = self.skip1(x) + self.drop_path(mixed)
        return self.skip2(x) + self.drop_path(self.ffn(self.norm2(x)))
