"""Torch's own depthwise convolution and activations, for any device and dtype."""

import torch
import torch.nn.functional as F

from .reference import ACTIVATIONS

_GRADIENTS = dict(
    none=lambda dy, z: dy,
    silu=torch.ops.aten.silu_backward,
    gelu=torch.ops.aten.gelu_backward,
)


def states_shape(x: torch.Tensor) -> tuple[int, ...]:
    """Return the shape of what is kept beside the inputs: nothing.

    Args:
        x (Tensor): Map of shape (B, C, H, W).

    Returns:
        tuple[int, ...]: (0,).
    """
    return (0,)


def _convolve(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, residual: bool
) -> torch.Tensor:
    z = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))
    return x + z if residual else z


def forward(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, residual: bool, activation: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Convolve and activate in the dtype of the weight.

    Args:
        x, weight, bias, residual, activation: As for `sparx_mm.kernels.depthwise_conv`.

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, C, H, W), and nothing.
    """
    z = _convolve(x.to(weight.dtype), weight, bias, residual)
    return ACTIVATIONS[activation](z), weight.new_empty(states_shape(x))


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
    # contiguous, so that the two lie alike
    dy, x = (t.to(weight.dtype).contiguous() for t in (dy, x))
    dz = dy
    if activation != 'none':
        dz = _GRADIENTS[activation](dy, _convolve(x, weight, bias, residual))
    channels, _, side, _ = weight.shape
    padding, ones = [side // 2] * 2, [1, 1]
    dx, dweight, dbias = torch.ops.aten.convolution_backward(
        dz, x, weight, [channels], ones, padding, ones, False, [0, 0], channels, [True] * 3
    )
    return dx + dz if residual else dx, dweight, dbias
