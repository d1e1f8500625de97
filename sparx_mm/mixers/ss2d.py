"""The 2D selective scan as a token mixer."""

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import nn

from sparx_mm.kernels import ss2d

from ..layers import DepthwiseConv, GroupNorm
from .scan_parameters import ScanParameters

NUM_DIRECTIONS = 4


@MODELS.register_module()
class SS2D(ScanParameters):
    """2D selective scan of VMamba (https://arxiv.org/abs/2401.10166).

    Depthwise convolution, SiLU, selective scan in four directions, norm,
    projection; no gate. The input projection is the layer's, not the
    mixer's.

    Args:
        dim (int): Number of output channels C.
        stage (int, optional): Stage of the layer; unused.
        layer (int, optional): Index of the layer in its stage; unused.
        d_state (int): States N per channel. Default: 1.
        ssm_ratio (float): Inner channels D as a multiple of C. Default: 2.
        dt_rank (int or str): Rank R of delta's projection; ``'auto'`` is
            ceil(C / 16). Default: ``'auto'``.
        d_conv (int): Side of the depthwise convolution's kernel.
            Default: 5.

    Attributes:
        in_channels (int): Channels D that ``forward`` takes.
        scan (Callable): Scan of maps, with the arguments of
            `sparx_mm.kernels.ss2d`, which it is unless another form of the same
            scan is set on the class or a module.
    """

    scan = staticmethod(ss2d)

    def __init__(
        self,
        dim: int,
        stage: int | None = None,
        layer: int | None = None,
        d_state: int = 1,
        ssm_ratio: float = 2.0,
        dt_rank: int | str = 'auto',
        d_conv: int = 5,
    ) -> None:
        super().__init__(dim, NUM_DIRECTIONS, d_state, ssm_ratio, dt_rank)
        self.conv = DepthwiseConv(self.in_channels, d_conv)
        self.norm = GroupNorm(1, self.in_channels)
        self.out_proj = nn.Conv2d(self.in_channels, dim, 1)
        self.reset_scan_parameters()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens.

        Args:
            x (Tensor): Map of shape (B, in_channels, H, W).

        Returns:
            Tensor: Map of shape (B, C, H, W).
        """
        x = F.silu(self.conv(x))
        # (B, 4*(R+2N), H, W) -> (B, H, W, 4, R+2N)
        p = F.conv2d(x, self.x_proj_weight.unsqueeze(-1))
        p = p.permute(0, 2, 3, 1).unflatten(-1, (NUM_DIRECTIONS, -1))
        A = -self.A_log.exp().view(NUM_DIRECTIONS, -1, self.d_state)
        y = self.scan(x, p, self.dt_weight, self.dt_bias, A, self.D.view(NUM_DIRECTIONS, -1))
        return self.out_proj(self.norm(y))
