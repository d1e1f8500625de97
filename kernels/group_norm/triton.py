"""The group norm on a GPU; imported only where Triton is installed."""

import torch
import triton

from .._triton import norms
from .._triton.runner import run
from ..maps import flatten_map, unflatten_map
from .torch import states_shape

# channels and positions to a tile: 128 bytes of 16-bit channels in a row
_BLOCK, _ROWS = 64, 64
# parts of an image and group, which each program reads all of
_PARTS = 256
# programs that keep any GPU busy; a constant, so that all give the same bits
_PROGRAMS = 4096


def make_chunk(rows: int, length: int, blocks: int) -> int:
    """Choose how many positions a program takes.

    Args:
        rows (int): Number of images and groups.
        length (int): Number of positions L.
        blocks (int): Number of blocks of a group's channels.

    Returns:
        int: A multiple of the rows of a tile, the least that leaves neither more
        programs than fill a GPU nor more parts than a program reads.
    """
    most = max(min(_PARTS // blocks, -(-_PROGRAMS // (rows * blocks))), 1)
    return -(-length // (most * _ROWS)) * _ROWS


class _Launch:
    """Sizes of a pass over a map, and its launches.

    Args:
        x (Tensor): Map of shape (B, L, C).
        num_groups (int): Number of groups G.
    """

    def __init__(self, x: torch.Tensor, num_groups: int) -> None:
        batch, length, channels = x.shape
        blocks = -(-(channels // num_groups) // _BLOCK)
        self.rows = batch * num_groups
        chunk = make_chunk(self.rows, length, blocks)
        self.chunks = -(-length // chunk)
        self.sizes = length, chunk
        self.grid = self.rows * blocks, self.chunks
        self.parts = x.new_empty(self.rows, self.chunks, blocks, 2, dtype=torch.float32)
        self.constants = dict(
            CHANNELS=channels, GROUPS=num_groups, BLOCK=_BLOCK, ROWS=_ROWS, num_warps=8
        )
        # as many for all sizes of maps, because each number is compiled
        self.most_parts = dict(PARTS=max(_PARTS, triton.next_power_of_2(blocks)))


def forward(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, num_groups: int, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalise a map with float32 statistics.

    Args:
        x, weight, bias, num_groups, eps: As for
            `sparx_mm.kernels.group_norm`.

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, C, H, W), channels-last, and (2, B, G)
        means and 1 / sqrt(variance + eps).
    """
    flat = flatten_map(x)
    launch = _Launch(flat, num_groups)
    y = torch.empty_like(flat)
    states = weight.new_empty(states_shape(x, num_groups))
    with torch.cuda.device_of(x):
        run(
            norms.group_norm_moments_kernel,
            launch.grid,
            flat,
            launch.parts,
            *launch.sizes,
            **launch.constants,
        )
        run(
            norms.group_norm_fwd_kernel,
            launch.grid,
            flat,
            weight.contiguous(),
            bias.contiguous(),
            launch.parts,
            states,
            y,
            *launch.sizes,
            launch.rows,
            eps,
            **launch.constants,
            **launch.most_parts,
        )
    return unflatten_map(y, x.shape[2:]), states


def backward(
    dy: torch.Tensor,
    states: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    num_groups: int,
    eps: float,
) -> tuple[torch.Tensor, ...]:
    """Compute the gradients of `forward`.

    Args:
        dy (Tensor): Gradient of y, of shape (B, C, H, W).
        states (Tensor): Statistics from `forward`.
        x, weight, bias, num_groups, eps: As given to `forward`.

    Returns:
        tuple[Tensor, ...]: Gradients of x, weight and bias, of their shapes.
    """
    flat = flatten_map(x)
    launch = _Launch(flat, num_groups)
    inputs = flatten_map(dy), states, flat, weight.contiguous()
    dparameters = weight.new_empty(2, x.shape[0] * launch.chunks, x.shape[1])
    dx = torch.empty_like(flat)
    with torch.cuda.device_of(x):
        run(
            norms.group_norm_sums_kernel,
            launch.grid,
            *inputs,
            launch.parts,
            dparameters,
            *launch.sizes,
            launch.rows,
            **launch.constants,
        )
        run(
            norms.group_norm_bwd_kernel,
            launch.grid,
            *inputs,
            launch.parts,
            dx,
            *launch.sizes,
            launch.rows,
            **launch.constants,
            **launch.most_parts,
        )
    return unflatten_map(dx, x.shape[2:]), *(part.sum(0) for part in dparameters)
