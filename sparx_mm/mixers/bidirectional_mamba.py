"""Mamba in both directions of a sequence, each with parameters of its own."""

import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import selective_scan, without_autocast
from sparx_mm.kernels.softplus import softplus

from ..errors import ConfigError
from ..layers import KeptTokens, PointwiseConv, take_tokens
from ..registry import MODELS
from .kept_scan import scan_kept
from .scan_parameters import ScanParameters, widen


@MODELS.register_module()
class BidirectionalMamba(nn.Module):
    """Bidirectional Mamba of Vim (https://arxiv.org/abs/2401.09417).

    Causal convolution, SiLU and selective scan of a map read row by row, and the same of
    the reversed sequence with other parameters; half of their sum times SiLU of a gate, and
    a projection. The input projection is the layer's.

    Args:
        dim (int): Number of output channels C.
        d_state (int): States N per channel. Default: 16.
        ssm_ratio (float): Number of scanned channels D as a multiple of C.
            Default: 2.
        dt_rank (int or str): Rank R of delta's projection; ``'auto'`` is
            ceil(C / 16). Default: ``'auto'``.
        d_conv (int): Positions that the convolution reads, the last of them its own.
            Default: 4.

    Attributes:
        in_channels (int): Number of channels 2D that ``forward`` takes.

    Raises:
        ConfigError: If ``d_conv`` is below 1.
    """

    def __init__(
        self,
        dim: int,
        d_state: int = 16,
        ssm_ratio: float = 2.0,
        dt_rank: int | str = 'auto',
        d_conv: int = 4,
    ) -> None:
        super().__init__()
        if not isinstance(d_conv, int) or d_conv < 1:
            raise ConfigError(f'd_conv must be an int from 1, got {d_conv!r}')
        self.scans = nn.ModuleList(
            _CausalScan(dim, d_state, ssm_ratio, dt_rank, d_conv) for _ in range(2)
        )
        inner = self.scans[0].inner_channels
        self.in_channels = 2 * inner
        self.out_proj = PointwiseConv(inner, dim, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens.

        Args:
            x (Tensor): Map of shape (B, 2D, H, W); what is scanned comes first, and the
                gate after it.

        Returns:
            Tensor: Map of shape (B, C, H, W).
        """
        return self.mix(x)[0]

    def mix(
        self, x: torch.Tensor, kept: KeptTokens | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix all tokens of a map, or those that are kept.

        Args:
            x (Tensor): As for ``forward``, or kept tokens of shape (B, 2D, k, 1).
            kept (KeptTokens, optional): Their places. Default: all tokens are kept.

        Returns:
            tuple[Tensor, Tensor]: What ``forward`` returns, and the sum of the scans, with
            D channels; of kept tokens, both of shape (B, ., k, 1).
        """
        x, z = x.chunk(2, dim=1)
        # (B, D, H, W) -> (B, D, L)
        sequence = (x if kept is None else kept.scatter(x)).flatten(2)
        there = back = None, ''
        if kept is not None:
            there = kept.positions, kept.gap
            back = sequence.shape[2] - 1 - kept.positions.flip(1), kept.gap
        y = self.scans[0](sequence, *there) + self.scans[1](sequence.flip(2), *back).flip(2)
        y = y.reshape_as(x)
        return self.out_proj(y.to(z.dtype) * F.silu(z) / 2), y


class _CausalScan(ScanParameters):
    """One direction, from whole sequences (B, D, L) to tokens at (B, k) positions or at all."""

    def __init__(self, dim, d_state, ssm_ratio, dt_rank, d_conv):
        super().__init__(dim, 1, d_state, ssm_ratio, dt_rank)
        inner = self.inner_channels
        # padded at both ends; what is added at the last one is cut off
        self.conv = nn.Conv1d(inner, inner, d_conv, padding=d_conv - 1, groups=inner)
        self.reset_scan_parameters()

    def forward(self, x, positions, gap):
        """Convolve and scan; return (B, D, L), or (B, D, k)."""
        x = F.silu(self.conv(x)[..., : x.shape[2]])
        if positions is not None:
            x = take_tokens(x.transpose(1, 2), positions).transpose(1, 2)
        # (R+2N, D) @ (B, D, L) -> (B, R+2N, L)
        p = self.x_proj_weight.squeeze(2) @ x
        weights = map(widen, (self.dt_weight, self.dt_bias, self.A_log, self.D))
        return _scan(x, p, *weights, positions, gap)


# because a scan multiplies the rounding error of its step sizes
@without_autocast
def _scan(u, p, dt_weight, dt_bias, A_log, D, positions, gap):
    """Scan (B, D, L) in float32 at least; the shape stays."""
    u, p = u.to(D.dtype), p.to(D.dtype)
    d_state = A_log.shape[1]
    dt, B, C = p.split([dt_weight.shape[2], d_state, d_state], dim=1)
    # (1, D, R) @ (B, R, L) -> (B, D, L)
    delta, A = dt_weight @ dt, -A_log.exp()
    if positions is None:
        return selective_scan(u, delta, A, B, C, D, dt_bias[0], delta_softplus=True)
    delta = softplus(delta + dt_bias[0, :, None])
    # (B, ., k) -> (B, k, 1, .)
    rows = [t.transpose(1, 2).unsqueeze(2) for t in (u, delta, B, C)]
    y = scan_kept(*rows[:2], A, *rows[2:], positions.unsqueeze(2), gap)
    # (B, k, 1, D) -> (B, D, k)
    return y.squeeze(2).transpose(1, 2) + D[:, None] * u
