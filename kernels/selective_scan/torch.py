"""The selective scan in plain torch, for any device and dtype."""

import torch
import torch.nn.functional as F

from .._torch.two_level import scan_backward, scan_forward
from ..softplus import softplus

# positions to a chunk; the states at the chunks' entries are kept for backward
CHUNK = 64


def states_shape(u: torch.Tensor, A: torch.Tensor) -> tuple[int, ...]:
    """Return the shape of the states at the entry of each chunk.

    Args:
        u (Tensor): Inputs of shape (B, D, L).
        A (Tensor): Decay rates of shape (D, N).

    Returns:
        tuple[int, ...]: (B, ceil(L / CHUNK), N, D).
    """
    batch, channels, length = u.shape
    # no `//` of a negative, so that symbolic sizes trace
    return batch, (length + CHUNK - 1) // CHUNK, A.shape[1], channels


def _to_chunks(sequence: torch.Tensor, groups: int) -> torch.Tensor:
    """Cut (B, D, L) into (B, chunks, positions, G, D / G), zeros after the end."""
    batch, channels, length = sequence.shape
    positions = min(CHUNK, length)
    sequence = F.pad(sequence, (0, -length % positions))
    return sequence.permute(0, 2, 1).reshape(batch, -1, positions, groups, channels // groups)


def _from_chunks(chunks: torch.Tensor, length: int) -> torch.Tensor:
    """Join what `_to_chunks` has cut."""
    return chunks.flatten(1, 2).flatten(2)[:, :length].transpose(1, 2)


def _arguments(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    delta_bias: torch.Tensor,
    delta_softplus: bool,
) -> tuple[tuple[torch.Tensor, ...], torch.Tensor | None]:
    """Return the arguments of the two-level scan, and the slope of softplus."""
    groups = B.shape[1]
    z = delta + delta_bias[:, None]
    delta = softplus(z) if delta_softplus else z
    slope = torch.sigmoid(z) if delta_softplus else None
    return (
        _to_chunks(u, groups),
        _to_chunks(delta, groups),
        A.unflatten(0, (groups, -1)),
        _to_chunks(B.flatten(1, 2), groups),
        _to_chunks(C.flatten(1, 2), groups),
        D.unflatten(0, (groups, -1)),
    ), slope


def forward(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    delta_bias: torch.Tensor,
    delta_softplus: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scan sequences in the dtype of A.

    Args:
        u, delta, A, D, delta_bias, delta_softplus: As for
            `sparx_mm.kernels.selective_scan`, none optional.
        B (Tensor): Input weights of shape (B, G, N, L).
        C (Tensor): Output weights of shape (B, G, N, L).

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, D, L), in any strides, and the states
        at the entry of each chunk, of shape (B, ceil(L / CHUNK), N, D).
    """
    u, delta, B, C = (t.to(A.dtype) for t in (u, delta, B, C))
    arguments, _ = _arguments(u, delta, A, B, C, D, delta_bias, delta_softplus)
    y, entry = scan_forward(*arguments)
    # (B, chunks, G, D / G, N) -> (B, chunks, N, D)
    return _from_chunks(y, u.shape[2]), entry.flatten(2, 3).transpose(2, 3)


def backward(
    dy: torch.Tensor,
    states: torch.Tensor,
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    delta_bias: torch.Tensor,
    delta_softplus: bool,
) -> tuple[torch.Tensor, ...]:
    """Compute the gradients of `forward` in the dtype of A.

    Args:
        dy (Tensor): Gradient of y, of shape (B, D, L).
        states (Tensor): States from `forward`.
        u, delta, A, B, C, D, delta_bias, delta_softplus: As given to `forward`.

    Returns:
        tuple[Tensor, ...]: Gradients of u, delta, A, B, C, D and delta_bias, of
        their shapes.
    """
    dy, u, delta, B, C = (t.to(A.dtype) for t in (dy, u, delta, B, C))
    length, groups = u.shape[2], B.shape[1]
    arguments, slope = _arguments(u, delta, A, B, C, D, delta_bias, delta_softplus)
    entry = states.transpose(2, 3).unflatten(2, (groups, -1))
    du, ddelta, dA, dB, dC, dD = scan_backward(_to_chunks(dy, groups), entry, *arguments)
    ddelta = _from_chunks(ddelta, length)
    if delta_softplus:
        ddelta = ddelta * slope
    dB, dC = (_from_chunks(t, length).unflatten(1, (groups, -1)) for t in (dB, dC))
    return (
        _from_chunks(du, length),
        ddelta,
        dA.flatten(0, 1),
        dB,
        dC,
        dD.flatten(),
        ddelta.sum((0, 2)),
    )
