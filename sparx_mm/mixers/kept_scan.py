"""Selective scans of tokens between which others were left out."""

import torch
import torch.nn.functional as F

from sparx_mm.kernels import selective_scan
from sparx_mm.kernels.softplus import softplus

from ..layers import KeptTokens, take_tokens

NUM_DIRECTIONS = 4


def scan_kept(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    steps: torch.Tensor,
    gap: str,
) -> torch.Tensor:
    """Scan tokens at their places in longer sequences, each group of channels at its own.

    Args:
        u (Tensor): Inputs of shape (B, k, G, D), in the order of the scan.
        delta (Tensor): Step sizes as they are used, like u.
        A (Tensor): Decay rates of shape (G*D, N).
        B (Tensor): Input weights of shape (B, k, G, N).
        C (Tensor): Output weights, like B.
        steps (Tensor): Ascending places of the tokens in their sequences, (B, k, G).
        gap (str): What the state does at each place between two tokens: ``'decay'``, it
            decays by the step size of the first of the two; ``'copy'``, it stays.

    Returns:
        Tensor: Outputs without a direct path, like u.
    """
    gaps = None
    if gap == 'decay':
        skipped = (steps[:, 1:] - steps[:, :-1] - 1).unsqueeze(3)
        # before the first token there is no state
        gaps = F.pad(delta[:, :-1] * skipped, (0, 0, 0, 0, 1, 0)).flatten(2).transpose(1, 2)
    # (B, k, G, D) -> (B, G*D, k); (B, k, G, N) -> (B, G, N, k)
    u, delta = (t.flatten(2).transpose(1, 2) for t in (u, delta))
    B, C = (t.permute(0, 2, 3, 1) for t in (B, C))
    y = selective_scan(u, delta, A, B, C, gap=gaps)
    # (B, G*D, k) -> (B, k, G, D)
    return y.transpose(1, 2).reshape(*steps.shape, -1)


def scan_kept_snakes(
    u: torch.Tensor,
    p: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
    direction_Bs: torch.Tensor,
    places: torch.Tensor,
    moves: torch.Tensor,
    kept: KeptTokens,
) -> torch.Tensor:
    """Scan kept tokens along the four snakes of their map, and sum.

    `SnakeScan` brings only its inputs in the order of a direction: at its place t, a scan
    takes step size, B and C of the position t of the rows. If that one is not kept, they
    are those of the last kept one before it, or of the first one.

    Args:
        u (Tensor): Inputs of shape (B, D, k).
        p (Tensor): Low-rank projection to step sizes, B and C, of shape (B, R+2N, k).
        dt_weight (Tensor): Weight from it to step sizes, of shape (D, R).
        dt_bias (Tensor): Their bias, of shape (D,).
        A (Tensor): Decay rates of shape (D, N).
        D (Tensor): Weight of the direct path, of shape (D,).
        direction_Bs (Tensor): What each move adds to B, of shape (5, N).
        places (Tensor): Place of each position of the map in each scan, of shape (4, L).
        moves (Tensor): Move that leads to each place of each scan, of shape (4, L).
        kept (KeptTokens): Places of the tokens.

    Returns:
        Tensor: Outputs of shape (B, D, k).
    """
    rank, d_state = dt_weight.shape[1], A.shape[1]
    # places of the tokens, and the number of the token at each: (4, L) -> (L, 4) -> (B, k, 4)
    steps, order = places.t()[kept.positions].sort(1)
    # tokens are rows from here on: (B, ., k) -> (B, k, .)
    u, p = u.transpose(1, 2), p.transpose(1, 2)
    delta = softplus(p[..., :rank] @ dt_weight.t() + dt_bias)
    # kept positions up to each one of the map
    counts = kept.scatter(torch.ones_like(kept.positions)[:, None, :, None]).flatten(1).cumsum(1)
    read = (counts.gather(1, steps.flatten(1)) - 1).clamp_min(0)

    def take(tokens, index):
        # (B, k, .) -> (B, k*4, .) -> (B, k, 4, .); with the sizes of another tensor, because
        # torch's exporter to ONNX keeps those of unflatten as constants
        return take_tokens(tokens, index.flatten(1)).view(*steps.shape, -1)

    B, C = take(p[..., rank:], read).split([d_state, d_state], 3)
    of_direction = torch.arange(NUM_DIRECTIONS, device=steps.device)
    moved = moves.t().flatten()[steps * NUM_DIRECTIONS + of_direction]
    y = scan_kept(
        take(u, order),
        take(delta, read),
        A.repeat(NUM_DIRECTIONS, 1),
        B + F.embedding(moved, direction_Bs),
        C,
        steps,
        kept.gap,
    )
    # where each token is in each scan
    scanned = order.argsort(1) * NUM_DIRECTIONS + of_direction
    # (B, k, 4, D) -> (B, k*4, D) -> (B, k, 4, D) -> (B, k, D)
    y = take(y.flatten(1, 2), scanned).sum(2)
    # the direct path is that of each direction
    return (y + NUM_DIRECTIONS * D * u).transpose(1, 2)
