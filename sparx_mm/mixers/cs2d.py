"""Selective scans along rows, columns and both kinds of diagonals, and CVMH-UNet's block."""

from functools import partial

import torch
from torch import nn

from sparx_mm.kernels import ss2d

from ..layers import ChannelGate, DepthwiseConv, Layer, PointwiseConv, SpatialGate, build_norm
from ..registry import MODELS
from .ss2d import SS2D


@MODELS.register_module()
class CS2D(SS2D):
    """Cross selective scan of CVMH-UNet (https://arxiv.org/abs/2410.05624).

    `SS2D` along rows, columns, anti-diagonals and diagonals, and none of them backwards.
    Diagonals end at the edges of the map. Inferred, because no code is public and the
    paper draws it: anti-diagonals follow each other from the top left corner, diagonals
    from the top right one, and each is walked from its top.

    Args:
        *args: Those of `SS2D`.
        **kwargs: Those of `SS2D`.
    """

    scan = staticmethod(partial(ss2d, orders='diagonal'))


@MODELS.register_module()
class CVSSMixer(nn.Module):
    """The branch of CVMH-UNet's CVSSBlock before its FFN.

        Fg = channel_gate(F + CS2D(LN(F)))
        Fl = spatial_gate(conv3x3(F))
        branch = conv1x1(LN(dsconv3x3(Fg + Fl)))

    The block (https://arxiv.org/abs/2410.05624) is a layer of this mixer with `EFFN`.
    Inferred, because no code is public: the local 3x3 convolution is depthwise, the
    ``dsconv`` is depthwise and pointwise, both gates are CBAM's with C / 16 hidden channels
    and a kernel of 7x7. With these alone, of about 100,000 combinations, the
    printed parameters and multiply-adds are met.

    Args:
        dim (int): Number of channels C.
        scan (dict): Config of the mixer of ``F + CS2D(LN(F))``, a layer without FFN.
            Default: ``dict(type='CS2D')``.
        reduction (int): C as a multiple of the channel gate's hidden channels.
            Default: 16.
        gate_kernel (int): Side of the spatial gate's kernel, odd. Default: 7.
        norm (dict): Config of the norms. Default: ``dict(type='LN2d')``.

    Attributes:
        in_channels (int): Number of channels C that ``forward`` takes.
        owns_norm (bool): True: a layer has no norm before this mixer.
    """

    owns_norm = True

    def __init__(
        self,
        dim: int,
        scan: dict = dict(type='CS2D'),
        reduction: int = 16,
        gate_kernel: int = 7,
        norm: dict = dict(type='LN2d'),
    ) -> None:
        super().__init__()
        self.in_channels = dim
        proj = dict(type='LinearProjection', bias=False)
        self.scan = Layer(dim, scan, proj, None, norm, dpe=False)
        self.channel_gate = ChannelGate(dim, reduction)
        self.local = DepthwiseConv(dim, 3)
        self.spatial_gate = SpatialGate(gate_kernel)
        self.dsconv = nn.Sequential(DepthwiseConv(dim, 3), PointwiseConv(dim, dim))
        self.norm = build_norm(norm, dim)
        self.out_proj = PointwiseConv(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens.

        Args:
            x (Tensor): Map of shape (B, C, H, W), not normed.

        Returns:
            Tensor: Map of shape (B, C, H, W).
        """
        mixed = self.channel_gate(self.scan(x)) + self.spatial_gate(self.local(x))
        return self.out_proj(self.norm(self.dsconv(mixed)))
