"""The layer norm on a GPU; imported only where Triton is installed."""

import torch
import triton

from .._triton import norms
from .._triton.runner import run
from ..maps import flatten_map, unflatten_map
from .torch import states_shape

# elements to a tile, of whole positions
_TILE = 4096
# programs that keep any GPU busy; a constant, so that all give the same bits
_PROGRAMS = 1024


def _constants(channels: int) -> dict[str, int]:
    """Return the sizes of a tile and the warps of a program."""
    block = triton.next_power_of_2(channels)
    return dict(CHANNELS=channels, BLOCK=block, ROWS=max(_TILE // block, 1), num_warps=8)


def forward(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalise a map with float32 statistics.

    Args:
        x, weight, bias, eps: As for `sparx_mm.kernels.layer_norm`.

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, C, H, W), channels-last, and
        (2, B, H, W) means and 1 / sqrt(variance + eps).
    """
    flat, constants = flatten_map(x), _constants(x.shape[1])
    y, states = torch.empty_like(flat), weight.new_empty(states_shape(x))
    rows = states[0].numel()
    with torch.cuda.device_of(x):
        run(
            norms.layer_norm_fwd_kernel,
            (-(-rows // constants['ROWS']),),
            flat,
            weight.contiguous(),
            bias.contiguous(),
            states,
            y,
            rows,
            eps,
            **constants,
        )
    return unflatten_map(y, x.shape[2:]), states


def backward(
    dy: torch.Tensor,
    states: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    eps: float,
) -> tuple[torch.Tensor, ...]:
    """Compute the gradients of `forward`.

    Args:
        dy (Tensor): Gradient of y, of shape (B, C, H, W).
        states (Tensor): Statistics from `forward`.
        x, weight, bias, eps: As given to `forward`.

    Returns:
        tuple[Tensor, ...]: Gradients of x, weight and bias, of their shapes.
    """
    flat, constants = flatten_map(x), _constants(x.shape[1])
    rows, tile = states[0].numel(), constants['ROWS']
    chunk = -(-rows // (_PROGRAMS * tile)) * tile
    chunks = -(-rows // chunk)
    dx, dparameters = torch.empty_like(flat), weight.new_empty(2, chunks, x.shape[1])
    with torch.cuda.device_of(x):
        run(
            norms.layer_norm_bwd_kernel,
            (chunks,),
            flatten_map(dy),
            states,
            flat,
            weight.contiguous(),
            dx,
            dparameters,
            rows,
            chunk,
            **constants,
        )
    return unflatten_map(dx, x.shape[2:]), *(part.sum(0) for part in dparameters)
