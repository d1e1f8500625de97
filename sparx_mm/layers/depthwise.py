"""Depthwise convolution that trains fast on the CPU with large kernels too."""

import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import (
    depthwise_conv,
    depthwise_weight_gradient,
    is_traced,
    uses_triton,
)
from sparx_mm.kernels.depthwise_conv.reference import ACTIVATIONS
from sparx_mm.kernels.depthwise_conv.weight_gradient import WINDOW

from ..errors import ConfigError

# sides of kernels whose sums our GPU kernels hold in registers
_GPU_SIDES = (3, 5)


class _LargeConv(torch.autograd.Function):
    """Depthwise convolution whose weight gradient is ours."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        groups, _, side, _ = weight.shape
        dx = None
        if ctx.needs_input_grad[0]:
            # as a convolution again: torch.nn.grad's forgets the memory format
            dx = F.conv2d(dy, weight.flip(2, 3), padding=side // 2, groups=groups)
        d_weight = None
        if ctx.needs_input_grad[1]:
            d_weight = depthwise_weight_gradient(dy, x, side)
        d_bias = dy.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return dx, d_weight, d_bias


def _suits_kernels(conv: nn.Conv2d, x: torch.Tensor) -> bool:
    """Return True for a channels-last map on a GPU, which ours reads and writes once."""
    return (
        uses_triton(x)
        and conv.kernel_size[0] in _GPU_SIDES
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def check_side(side: int, what: str) -> None:
    """Check the side of a kernel that keeps the size of a map.

    Args:
        side (int): The side.
        what (str): Whose side it is, for the error.

    Raises:
        ConfigError: If it is no odd int from 1.
    """
    if not isinstance(side, int) or side < 1 or side % 2 == 0:
        raise ConfigError(f'the side of {what} must be an odd int from 1, got {side!r}')


class DepthwiseConv(nn.Conv2d):
    """Depthwise convolution of stride 1 that keeps the size of the map.

    Args:
        dim (int): Number of channels C.
        kernel_size (int): Side of the kernel, odd.
        bias (bool): Learn a bias. Default: True.

    Raises:
        ConfigError: If ``kernel_size`` is not odd.
    """

    # True: what is convolved is added
    residual = False

    def __init__(self, dim: int, kernel_size: int, bias: bool = True) -> None:
        check_side(kernel_size, 'a depthwise kernel (d_conv of a mixer)')
        super().__init__(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim, bias=bias)

    def forward(self, x: torch.Tensor, activation: str = 'none') -> torch.Tensor:
        """Map (B, C, H, W) to the same shape.

        Args:
            x (Tensor): Map of shape (B, C, H, W).
            activation (str): What follows: ``'none'``, ``'silu'`` or ``'gelu'``.
                Default: ``'none'``.

        Returns:
            Tensor: Map of shape (B, C, H, W).
        """
        if _suits_kernels(self, x):
            weight = self.weight.float()
            bias = weight.new_zeros(len(weight)) if self.bias is None else self.bias.float()
            return depthwise_conv(x, weight, bias, self.residual, activation)
        return ACTIVATIONS[activation](self._convolve(x))

    def _convolve(self, x):
        dtype = x.dtype
        if dtype != torch.float64 and torch.is_autocast_enabled('cpu'):
            dtype = torch.get_autocast_dtype('cpu')
        if (
            self.kernel_size[0] > WINDOW
            and x.device.type == 'cpu'
            and dtype in (torch.float32, torch.bfloat16)
            and self.weight.requires_grad
            and torch.is_grad_enabled()
            # a tracer compares graphs, and finds no two functions of Python equal
            and not is_traced()
            # torch.func takes no such function
            and not torch._C._are_functorch_transforms_active()
        ):
            bias = None if self.bias is None else self.bias.to(dtype)
            return _LargeConv.apply(x.to(dtype), self.weight.to(dtype), bias)
        return self._conv_forward(x, self.weight, self.bias)


class ResidualDepthwiseConv(DepthwiseConv):
    """Depthwise 3x3 convolution, added to its input.

    Args:
        dim (int): Number of channels C.
    """

    residual = True

    def __init__(self, dim: int) -> None:
        super().__init__(dim, 3)

    def _convolve(self, x):
        if (
            x.device.type != 'cpu'
            or x.dtype not in (torch.float32, torch.float64)
            or torch.is_autocast_enabled('cpu')
            # a runtime wants kernels that are known before it runs
            or is_traced()
        ):
            return x + self._conv_forward(x, self.weight, self.bias)
        # one pass over the map: the input is what a kernel of 1 in the middle gives.
        # Fewer bits, TF32's too, would round the weights beside that 1
        identity = F.pad(self.weight.new_ones(1, 1, 1, 1), (1, 1, 1, 1))
        return self._conv_forward(x, self.weight + identity, self.bias)
