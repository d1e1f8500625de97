"""Selective scans of a map read as one sequence, as token mixers."""

import torch
import torch.nn.functional as F

from sparx_mm.kernels import selective_scan, without_autocast

from ..layers import GroupNorm, PointwiseConv, pointwise
from ..registry import MODELS
from .scan_parameters import ScanParameters, widen


@MODELS.register_module()
class SSM(ScanParameters):
    """Selective scan of Mamba (https://arxiv.org/abs/2312.00752), causal.

    SiLU, one scan of the map in row-major order, norm, projection: a position
    sees itself and those before it. No convolution and no gate; the input
    projection is the layer's. SparX's paper, Table 10.

    Args:
        dim (int): Number of output channels C.
        d_state (int): States N per channel. Default: 8.
        ssm_ratio (float): Number of scanned channels D as a multiple of C.
            Default: 2.
        dt_rank (int or str): Rank R of delta's projection; ``'auto'`` is
            ceil(C / 16). Default: ``'auto'``.

    Attributes:
        in_channels (int): Number of channels D that ``forward`` takes.
    """

    num_directions = 1

    def __init__(
        self,
        dim: int,
        d_state: int = 8,
        ssm_ratio: float = 2.0,
        dt_rank: int | str = 'auto',
    ) -> None:
        super().__init__(dim, self.num_directions, d_state, ssm_ratio, dt_rank)
        self.in_channels = self.inner_channels
        self.norm = GroupNorm(1, self.in_channels)
        self.out_proj = PointwiseConv(self.in_channels, dim)
        self.reset_scan_parameters()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens.

        Args:
            x (Tensor): Map of shape (B, in_channels, H, W).

        Returns:
            Tensor: Map of shape (B, C, H, W), in the memory format of ``x``.
        """
        x = F.silu(x)
        # (B, K*(R+2N), H, W) -> (B, K, R+2N, H*W)
        p = pointwise(x, self.x_proj_weight.unsqueeze(-1))
        p = p.flatten(2).unflatten(1, (self.num_directions, -1))
        dt, B, C = self._turn(p).split(
            [self.dt_weight.shape[-1], self.d_state, self.d_state], dim=2
        )
        # (B, D, H, W) -> (B, K, D, H*W) -> (B, K*D, H*W)
        u = x.flatten(2).unsqueeze(1).expand(-1, self.num_directions, -1, -1)
        u = self._turn(u).flatten(1, 2)
        delta = _step_sizes(widen(self.dt_weight), dt).flatten(1, 2)
        A, D, bias = -widen(self.A_log).exp(), widen(self.D), widen(self.dt_bias).flatten()
        y = selective_scan(u, delta, A, B, C, D, bias, delta_softplus=True)
        # (B, K*D, H*W) -> (B, K, D, H*W) -> (B, D, H, W)
        y = self._turn(y.unflatten(1, (self.num_directions, -1)))
        y = y.sum(1).unflatten(2, x.shape[2:])
        if not x.is_contiguous():
            y = y.contiguous(memory_format=torch.channels_last)
        return self.out_proj(self.norm(y))

    @staticmethod
    def _turn(sequences: torch.Tensor) -> torch.Tensor:
        """Reorder (B, K, ., H*W) from the map's order to each direction's, or back."""
        return sequences


@MODELS.register_module()
class BiSSM(SSM):
    """Bidirectional scan of Vim (https://arxiv.org/abs/2401.09417).

    A forward and a reverse row-major scan, each with its own parameters;
    their outputs are summed before the norm. Everything else, arguments
    included, is as in `SSM`. SparX's paper, Table 10.
    """

    num_directions = 2

    @staticmethod
    def _turn(sequences: torch.Tensor) -> torch.Tensor:
        forward, reverse = sequences.unbind(1)
        return torch.stack([forward, reverse.flip(-1)], dim=1)


# step sizes need float32, because a scan multiplies their rounding error
@without_autocast
def _step_sizes(weight, dt):
    """Multiply (K, D, R) by (B, K, R, L) in the weight's dtype: (B, K, D, L)."""
    return weight @ dt.to(weight.dtype)
