"""The depthwise convolution on a GPU; imported only where Triton is installed."""

import torch

from .._triton import depthwise
from .._triton.runner import run
from ..maps import flatten_map, unflatten_map
from .torch import states_shape

# channels to a program: 128 bytes in 16 bits
_BLOCK = 64
# programs that keep any GPU busy; a constant, so that all give the same bits
_PROGRAMS = 4096
# a short strip does not pay, because rows above and below it are read too
_SHORTEST_STRIP = 8


def make_strip(programs: int, height: int) -> int:
    """Choose how many rows a program takes.

    Args:
        programs (int): Number of programs if each takes all rows.
        height (int): Number of rows H.

    Returns:
        int: All of them, or as few as fill a GPU.
    """
    strips = min(-(-_PROGRAMS // programs), -(-height // _SHORTEST_STRIP))
    return -(-height // strips)


class _Launch:
    """Sizes of a pass over a map, and its launches.

    Args:
        x (Tensor): Map of shape (B, C, H, W).
        side (int): Side of the kernel.
    """

    def __init__(self, x: torch.Tensor, side: int) -> None:
        batch, channels, height, width = x.shape
        # as many sums of a large kernel do not fit into registers
        columns = 16 if side == 3 and width > 8 else 8
        blocks, tiles = -(-channels // _BLOCK), -(-width // columns)
        strip = make_strip(batch * tiles * blocks, height)
        self.size = height, width
        self.sizes = height, width, strip
        strips = -(-height // strip)
        self.grid = batch * tiles * blocks, strips
        self.parts = batch * tiles * strips
        self.constants = dict(
            CHANNELS=channels, SIDE=side, BLOCK=_BLOCK, COLUMNS=columns, num_warps=4
        )

    def convolve(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        residual: bool,
        activation: str = 'none',
        dy: torch.Tensor | None = None,
        adjoint: bool = False,
    ) -> torch.Tensor:
        """Return the activated convolution of x, or with dy the gradient before it."""
        out = torch.empty_like(x)
        run(
            depthwise.depthwise_conv_kernel,
            self.grid,
            x,
            weight,
            bias,
            x if dy is None else dy,
            out,
            *self.sizes,
            RESIDUAL=residual,
            ADJOINT=adjoint,
            ACTIVATION=activation,
            BACKWARD=dy is not None,
            **self.constants,
        )
        return out


def forward(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, residual: bool, activation: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Convolve and activate with float32 sums.

    Args:
        x, weight, bias, residual, activation: As for `sparx_mm.kernels.depthwise_conv`.

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, C, H, W), channels-last, and nothing.
    """
    launch = _Launch(x, weight.shape[-1])
    with torch.cuda.device_of(x):
        y = launch.convolve(
            flatten_map(x), weight.contiguous(), bias.contiguous(), residual, activation
        )
    return unflatten_map(y, launch.size), weight.new_empty(states_shape(x))


def backward(
    dy: torch.Tensor,
    states: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    residual: bool,
    activation: str,
) -> tuple[torch.Tensor, ...]:
    """Compute the gradients of `forward`.

    Args:
        dy (Tensor): Gradient of y, of shape (B, C, H, W).
        states (Tensor): What `forward` kept.
        x, weight, bias, residual, activation: As given to `forward`.

    Returns:
        tuple[Tensor, ...]: Gradients of x, weight and bias, of their shapes.
    """
    launch, flat, dz = _Launch(x, weight.shape[-1]), flatten_map(x), flatten_map(dy)
    weight, bias = weight.contiguous(), bias.contiguous()
    dweight, dbias = (t.new_empty(launch.parts, *t.shape) for t in (weight, bias))
    with torch.cuda.device_of(x):
        if activation != 'none':
            dz = launch.convolve(flat, weight, bias, residual, activation, dz)
        run(
            depthwise.depthwise_weight_kernel,
            launch.grid,
            dz,
            flat,
            dweight,
            dbias,
            *launch.sizes,
            **launch.constants,
        )
        dx = launch.convolve(dz, weight, bias, residual, adjoint=True)
    return unflatten_map(dx, launch.size), dweight.sum(0), dbias.sum(0)
