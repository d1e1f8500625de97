"""The 2D selective scan as a token mixer."""
import math
from typing import Optional, Union

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import nn

from sparx_mm.kernels import ss2d

from ..layers import DepthwiseConv

NUM_DIRECTIONS = 4


@MODELS.register_module()
class SS2D(nn.Module):
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
    """

    def __init__(self,
                 dim: int,
                 stage: Optional[int] = None,
                 layer: Optional[int] = None,
                 d_state: int = 1,
                 ssm_ratio: float = 2.,
                 dt_rank: Union[int, str] = 'auto',
                 d_conv: int = 5) -> None:
        super().__init__()
        inner = int(dim * ssm_ratio)
        rank = math.ceil(dim / 16) if dt_rank == 'auto' else dt_rank
        self.in_channels = inner
        self.d_state = d_state
        self.conv = DepthwiseConv(inner, d_conv)
        # the shapes of the released files: directions folded into channels
        self.x_proj_weight = nn.Parameter(
            torch.empty(NUM_DIRECTIONS * (rank + 2 * d_state), inner, 1))
        self.dt_weight = nn.Parameter(torch.empty(NUM_DIRECTIONS, inner, rank))
        self.dt_bias = nn.Parameter(torch.empty(NUM_DIRECTIONS, inner))
        self.A_log = nn.Parameter(torch.empty(NUM_DIRECTIONS * inner, d_state))
        self.D = nn.Parameter(torch.empty(NUM_DIRECTIONS * inner))
        self.norm = nn.GroupNorm(1, inner)
        self.out_proj = nn.Conv2d(inner, dim, 1)
        self.reset_scan_parameters()

    @torch.no_grad()
    def reset_scan_parameters(self,
                              dt_min: float = 1e-3,
                              dt_max: float = 0.1) -> None:
        """Initialise the scan's parameters as Mamba does.

        Args:
            dt_min (float): Smallest initial delta. Default: 1e-3.
            dt_max (float): Largest initial delta. Default: 0.1.
        """
        # a linear layer's default: uniform within the root of its fan-in
        bound = self.in_channels**-0.5
        self.x_proj_weight.uniform_(-bound, bound)
        bound = self.dt_weight.shape[-1]**-0.5
        self.dt_weight.uniform_(-bound, bound)
        # delta log-uniform in [dt_min, dt_max]; its bias is the inverse of
        # softplus, log(exp(delta) - 1)
        log_dt = torch.empty_like(self.dt_bias).uniform_(
            math.log(dt_min), math.log(dt_max))
        dt = log_dt.exp()
        self.dt_bias.copy_(dt + torch.log(-torch.expm1(-dt)))
        states = torch.arange(1, self.d_state + 1, dtype=self.A_log.dtype)
        self.A_log.copy_(states.log().expand_as(self.A_log))
        self.D.fill_(1.)

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
        y = ss2d(x, p, self.dt_weight, self.dt_bias, A,
                 self.D.view(NUM_DIRECTIONS, -1))
        return self.out_proj(self.norm(y))
