"""Torch's own layer norm, for any device and dtype."""

import torch


def states_shape(x: torch.Tensor) -> tuple[int, ...]:
    """Return the shape of the statistics that all backends keep.

    Args:
        x (Tensor): Map of shape (B, C, H, W).

    Returns:
        tuple[int, ...]: (2, B, H, W).
    """
    batch, _, height, width = x.shape
    return 2, batch, height, width


def _tokens(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Reorder (B, C, H, W) to contiguous (B, H, W, C), in the dtype of the weight."""
    return x.to(weight.dtype).permute(0, 2, 3, 1).contiguous()


def forward(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalise a map in the dtype of the weight.

    Args:
        x, weight, bias, eps: As for `sparx_mm.kernels.layer_norm`.

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, C, H, W), channels-last, and
        (2, B, H, W) means and 1 / sqrt(variance + eps).
    """
    y, mean, rstd = torch.native_layer_norm(_tokens(x, weight), weight.shape, weight, bias, eps)
    # (B, H, W, C) -> (B, C, H, W), (B, H, W, 1) -> (B, H, W) twice
    return y.permute(0, 3, 1, 2), torch.stack([mean, rstd]).squeeze(-1)


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
    dy, x = (_tokens(t, weight) for t in (dy, x))
    # (2, B, H, W) -> (B, H, W, 1) twice
    mean, rstd = states.unsqueeze(-1).contiguous().unbind()
    dx, dweight, dbias = torch.ops.aten.native_layer_norm_backward(
        dy, x, weight.shape, mean, rstd, weight, bias, [True] * 3
    )
    # (B, H, W, C) -> (B, C, H, W)
    return dx.permute(0, 3, 1, 2), dweight, dbias
