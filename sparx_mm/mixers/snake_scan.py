"""Selective scans along snakes, which never jump on a map, as a token mixer."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import ss2d, without_autocast
from sparx_mm.kernels.ss2d.orders import snake_orders, snake_places

from ..layers import DepthwiseConv, KeptTokens, PointwiseConv, pointwise
from ..registry import MODELS
from .kept_scan import NUM_DIRECTIONS, scan_kept_snakes
from .scan_parameters import ScanParameters, widen

# rows of ``direction_Bs``
START, RIGHT, LEFT, UP, DOWN = range(5)
# sizes of maps whose places and moves are kept
_KEPT_SIZES = 32


@MODELS.register_module()
class SnakeScan(ScanParameters):
    """Scan of PlainMamba (https://arxiv.org/abs/2403.17695) in four directions.

    Depthwise convolution, SiLU, four selective scans with the same parameters, whose
    outputs are summed, a gate and a projection; the input projection is the layer's. One
    scan runs over the rows from the top left, every other row backwards, one over the
    columns so, and two are their reverses. A learned vector for the move that led to a
    position is added to the scan's B there.

    Two properties of the released networks are kept, on which their weights depend. Only
    the scanned channels are put in the order of a direction: step sizes, B and C stay in
    the order of rows. And the bias of the step sizes counts twice.

    Args:
        dim (int): Number of output channels C.
        d_state (int): States N per channel. Default: 16.
        ssm_ratio (float): Number of scanned channels D as a multiple of C.
            Default: 2.
        dt_rank (int or str): Rank R of delta's projection; ``'auto'`` is
            ceil(C / 16). Default: ``'auto'``.
        d_conv (int): Side of the depthwise convolution's kernel, odd. Default: 7.

    Attributes:
        in_channels (int): Number of channels 2D that ``forward`` takes.
    """

    def __init__(
        self,
        dim: int,
        d_state: int = 16,
        ssm_ratio: float = 2.0,
        dt_rank: int | str = 'auto',
        d_conv: int = 7,
    ) -> None:
        super().__init__(dim, 1, d_state, ssm_ratio, dt_rank)
        self.in_channels = 2 * self.inner_channels
        self.conv = DepthwiseConv(self.inner_channels, d_conv)
        self.direction_Bs = nn.Parameter(torch.empty(5, d_state))
        self.out_proj = PointwiseConv(self.inner_channels, dim)
        self.reset_scan_parameters()
        nn.init.trunc_normal_(self.direction_Bs, std=0.02)

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

        The convolution sees zeros where no token is kept.

        Args:
            x (Tensor): As for ``forward``, or kept tokens of shape (B, 2D, k, 1).
            kept (KeptTokens, optional): Their places. Default: all tokens are kept.

        Returns:
            tuple[Tensor, Tensor]: What ``forward`` returns, and the sum of the scans, with
            D channels; of kept tokens, both of shape (B, ., k, 1).
        """
        x, z = x.chunk(2, dim=1)
        if kept is None:
            x = self.conv(x, 'silu')
        else:
            x = kept.gather(self.conv(kept.scatter(x), 'silu'))
        # (B, R+2N, H, W)
        p = pointwise(x, self.x_proj_weight.unsqueeze(-1))
        weights = map(widen, (self.dt_weight, self.dt_bias, self.A_log, self.D, self.direction_Bs))
        y = _scan(x, p, *weights, kept)
        return self.out_proj(y.to(z.dtype) * F.silu(z)), y


# because a scan multiplies the rounding error of its step sizes
@without_autocast
def _scan(x, p, dt_weight, dt_bias, A_log, D, direction_Bs, kept):
    """Scan (B, D, H, W) in all directions and sum, in float32 at least; the shape stays."""
    u, p = x.to(D.dtype), p.flatten(2).to(D.dtype)
    # the bias acts twice
    A, bias = -A_log.exp(), 2 * dt_bias[0]
    places, moves = _tables_on(x if kept is None else kept.like)
    if kept is not None:
        weights = dt_weight[0], bias, A, D, direction_Bs
        return scan_kept_snakes(u.flatten(2), p, *weights, places, moves, kept).unsqueeze(3)
    # at the place t of a scan, position t of the rows is to be read, but ss2d reads the
    # position to which the scan has come
    # (B, R+2N, L) -> (B, L, R+2N) -> (B, L*4, R+2N)
    p = p.transpose(1, 2)[:, places.t().flatten()]
    # (4, L) -> (L, 4) -> (L, 4, N) -> (L, 4, R+2N)
    moved = F.embedding(moves.gather(1, places).t(), direction_Bs)
    moved = F.pad(moved, (dt_weight.shape[2], A.shape[1]))
    # view, because torch's exporter to ONNX keeps the sizes of unflatten as constants
    size = *x.shape[2:], NUM_DIRECTIONS, p.shape[2]
    dt_B_C = p.view(x.shape[0], *size) + moved.view(size)
    weights = (t.repeat(NUM_DIRECTIONS, *[1] * t.dim()) for t in (dt_weight[0], bias, A, D))
    return ss2d(u, dt_B_C, *weights, orders='snake')


def snake_moves(height: int, width: int, device: torch.device | None = None) -> torch.Tensor:
    """Say which move leads to each position of the four scans.

    Args:
        height (int): Rows H of the map.
        width (int): Its columns W.
        device (torch.device, optional): Device of the result. Default: the current one.

    Returns:
        Tensor: `START`, `RIGHT`, `LEFT`, `UP` or `DOWN`, of shape (4, H*W).
    """
    orders = snake_orders(height, width, device)
    rows = orders // width
    # no remainder, which torch's newer exporter to ONNX cannot take by a size
    columns = orders - rows * width
    down, right = (axis[:, 1:] - axis[:, :-1] for axis in (rows, columns))
    moves = RIGHT * (right == 1) + LEFT * (right == -1) + UP * (down == -1) + DOWN * (down == 1)
    return F.pad(moves, (1, 0), value=START)


def _tables_on(x):
    """Return the places and moves on a map, from an earlier call where there was one."""
    height, width = x.shape[2:]
    is_eager = type(x) is torch.Tensor and not (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        # the memory of a captured graph is not ours to keep
        or (x.is_cuda and torch.cuda.is_current_stream_capturing())
    )
    return (_kept_tables if is_eager else _make_tables)(height, width, x.device)


def _make_tables(*size):
    return snake_places(*size), snake_moves(*size)


@lru_cache(_KEPT_SIZES)
def _kept_tables(height, width, device):
    # a tensor of inference mode could not be used in training
    with torch.inference_mode(False):
        # made on the CPU: a copy from there is complete for every stream that reads it
        return tuple(table.to(device) for table in _make_tables(height, width, 'cpu'))
