"""The four-direction scan in plain torch, for any device and dtype."""

import torch

from .._torch.two_level import scan_backward, scan_forward
from ..softplus import softplus

# the directions as the two-level scan names them
_DIRECTIONS = (dict(), dict(column=True), dict(reverse=True), dict(column=True, reverse=True))


def states_shape(x: torch.Tensor, A: torch.Tensor) -> tuple[int, ...]:
    """Return the shape of the states at the entry of each line.

    Args:
        x (Tensor): Map of shape (B, D, H, W).
        A (Tensor): Decay rates of shape (4, D, N).

    Returns:
        tuple[int, ...]: (B, 2 (H + W), N, D).
    """
    batch, channels, height, width = x.shape
    return batch, 2 * (height + width), A.shape[-1], channels


def _split(
    dt_B_C: torch.Tensor, dt_weight: torch.Tensor, dt_bias: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return dt, B, C and the step sizes before softplus of direction k."""
    rank = dt_weight.shape[-1]
    state = (dt_B_C.shape[-1] - rank) // 2
    dt, B, C = dt_B_C[:, :, :, k].split([rank, state, state], dim=-1)
    z = dt @ dt_weight[k].t() + dt_bias[k]
    return dt, B.unsqueeze(3), C.unsqueeze(3), z


def forward(
    x: torch.Tensor,
    dt_B_C: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scan a map in the dtype of A.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D (Tensor): As for
            `sparx_mm.kernels.ss2d`.

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, D, H, W), and the states at the entry
        of each line, of shape (B, 2 (H + W), N, D): the rows of direction 0, the
        columns of 1, the rows of 2, the columns of 3.
    """
    x, dt_B_C = x.to(A.dtype), dt_B_C.to(A.dtype)
    y, states = 0, []
    # (B, D, H, W) -> (B, H, W, 1, D)
    u = x.permute(0, 2, 3, 1).unsqueeze(3)
    for k, direction in enumerate(_DIRECTIONS):
        _, B, C, z = _split(dt_B_C, dt_weight, dt_bias, k)
        delta = softplus(z).unsqueeze(3)
        y_k, entry = scan_forward(u, delta, A[k, None], B, C, D[k, None], **direction)
        y = y + y_k.squeeze(3)
        # (B, lines, 1, D, N) -> (B, lines, N, D)
        states.append(entry.squeeze(2).transpose(2, 3))
    return y.permute(0, 3, 1, 2), torch.cat(states, 1)


def backward(
    dy: torch.Tensor,
    states: torch.Tensor,
    x: torch.Tensor,
    dt_B_C: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """Compute the gradients of `forward` in the dtype of A.

    Args:
        dy (Tensor): Gradient of y, of shape (B, D, H, W).
        states (Tensor): States from `forward`.
        x, dt_B_C, dt_weight, dt_bias, A, D (Tensor): As given to `forward`.

    Returns:
        tuple[Tensor, ...]: Gradients of x, dt_B_C, dt_weight, dt_bias, A and D, of
        their shapes.
    """
    dy, x, dt_B_C = (t.to(A.dtype) for t in (dy, x, dt_B_C))
    height, width = x.shape[2:]
    # (B, D, H, W) -> (B, H, W, 1, D)
    u, dy = (t.permute(0, 2, 3, 1).unsqueeze(3) for t in (x, dy))
    # (B, lines, N, D) -> (B, lines, 1, D, N)
    entries = states.transpose(2, 3).unsqueeze(2).split([height, width] * 2, 1)
    dx, ddt_B_C, dweight, dbias, dA, dD = 0, [], [], [], [], []
    for k, direction in enumerate(_DIRECTIONS):
        dt, B, C, z = _split(dt_B_C, dt_weight, dt_bias, k)
        delta = softplus(z).unsqueeze(3)
        du, ddelta, dA_k, dB, dC, dD_k = scan_backward(
            dy, entries[k], u, delta, A[k, None], B, C, D[k, None], **direction
        )
        dz = ddelta.squeeze(3) * torch.sigmoid(z)
        dx = dx + du.squeeze(3)
        ddt_B_C.append(torch.cat([dz @ dt_weight[k], dB.squeeze(3), dC.squeeze(3)], -1))
        dweight.append(dz.flatten(0, 2).t() @ dt.flatten(0, 2))
        dbias.append(dz.sum((0, 1, 2)))
        dA.append(dA_k.squeeze(0))
        dD.append(dD_k.squeeze(0))
    return (
        dx.permute(0, 3, 1, 2),
        torch.stack(ddt_B_C, 3),
        *(torch.stack(gradients) for gradients in (dweight, dbias, dA, dD)),
    )
