"""Torch's own group norm, for any device and dtype; it copies a channels-last map."""

import torch


def states_shape(x: torch.Tensor, num_groups: int) -> tuple[int, ...]:
    """Return the shape of the statistics that all backends keep.

    Args:
        x (Tensor): Map of shape (B, C, H, W).
        num_groups (int): Number of groups G.

    Returns:
        tuple[int, ...]: (2, B, G).
    """
    return 2, x.shape[0], num_groups


def _sizes(x: torch.Tensor) -> tuple[int, int, int]:
    batch, channels, height, width = x.shape
    return batch, channels, height * width


def forward(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, num_groups: int, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalise a map in the dtype of the weight.

    Args:
        x, weight, bias, num_groups, eps: As for
            `sparx_mm.kernels.group_norm`.

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, C, H, W), and (2, B, G) means and
        1 / sqrt(variance + eps).
    """
    # contiguous, because torch 2.13's backward crashes on some other maps
    x = x.to(weight.dtype).contiguous()
    y, mean, rstd = torch.native_group_norm(x, weight, bias, *_sizes(x), num_groups, eps)
    return y, torch.stack([mean, rstd])


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
    dy, x = (t.to(weight.dtype).contiguous() for t in (dy, x))
    return torch.ops.aten.native_group_norm_backward(
        dy, x, *states.contiguous().unbind(), weight, *_sizes(x), num_groups, [True] * 3
    )
