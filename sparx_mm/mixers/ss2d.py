"""The 2D selective scan as a token mixer."""

import torch
import torch.nn.functional as F

from sparx_mm.kernels import ss2d

from ..layers import DepthwiseConv, PointwiseConv, build_norm, pointwise
from ..registry import MODELS
from .scan_parameters import ScanParameters, widen

NUM_DIRECTIONS = 4


@MODELS.register_module()
class SS2D(ScanParameters):
    """2D selective scan of VMamba (https://arxiv.org/abs/2401.10166).

    Depthwise convolution, SiLU, selective scan in four directions, norm,
    optionally a gate, and projection. The input projection is the layer's.

    Args:
        dim (int): Number of output channels C.
        d_state (int): States N per channel. Default: 1.
        ssm_ratio (float): Number of scanned channels D as a multiple of C.
            Default: 2.
        dt_rank (int or str): Rank R of delta's projection; ``'auto'`` is
            ceil(C / 16). Default: ``'auto'``.
        d_conv (int): Side of the depthwise convolution's kernel.
            Default: 5.
        conv_bias (bool): Learn a bias of the depthwise convolution.
            Default: True.
        bias (bool): Learn a bias of the output projection. Default: True.
        gate (bool): Multiply the normed scan by SiLU of a second half of the
            input. Default: False.
        norm (dict): Config of the norm after the scan.
            Default: ``dict(type='GN', num_groups=1)``.

    Attributes:
        in_channels (int): Number of channels that ``forward`` takes: D, with a
            gate 2D.
        scan (Callable): Scan of maps, with the arguments of
            `sparx_mm.kernels.ss2d`, which it is unless another form of the same
            scan is set on the class or a module.
    """

    scan = staticmethod(ss2d)

    def __init__(
        self,
        dim: int,
        d_state: int = 1,
        ssm_ratio: float = 2.0,
        dt_rank: int | str = 'auto',
        d_conv: int = 5,
        conv_bias: bool = True,
        bias: bool = True,
        gate: bool = False,
        norm: dict = dict(type='GN', num_groups=1),
    ) -> None:
        super().__init__(dim, NUM_DIRECTIONS, d_state, ssm_ratio, dt_rank)
        inner = self.inner_channels
        self.gate = gate
        self.in_channels = 2 * inner if gate else inner
        self.conv = DepthwiseConv(inner, d_conv, bias=conv_bias)
        self.norm = build_norm(norm, inner)
        self.out_proj = PointwiseConv(inner, dim, bias=bias)
        self.reset_scan_parameters()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens.

        Args:
            x (Tensor): Map of shape (B, in_channels, H, W); with a gate, what
                is scanned comes first, and the gate after it.

        Returns:
            Tensor: Map of shape (B, C, H, W).
        """
        if self.gate:
            x, z = x.chunk(2, dim=1)
        x = self.conv(x, 'silu')
        # (B, 4*(R+2N), H, W) -> (B, H, W, 4, R+2N)
        dt_B_C = pointwise(x, self.x_proj_weight.unsqueeze(-1))
        dt_B_C = dt_B_C.permute(0, 2, 3, 1).unflatten(-1, (NUM_DIRECTIONS, -1))
        A = -widen(self.A_log).exp().view(NUM_DIRECTIONS, -1, self.d_state)
        D = widen(self.D).view(NUM_DIRECTIONS, -1)
        y = self.scan(x, dt_B_C, widen(self.dt_weight), widen(self.dt_bias), A, D)
        y = self.norm(y)
        if self.gate:
            y = y * F.silu(z)
        return self.out_proj(y)
