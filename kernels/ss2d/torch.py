"""The four-direction scan in plain torch, for any device and dtype."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from .._torch.two_level import scan_backward, scan_forward
from ..softplus import softplus
from .orders import order_table


class _Direction(NamedTuple):
    """Way of one direction through the map.

    Attributes:
        lines (int): Number of lines that it is scanned in.
        options (dict): What the two-level scan is told of it.
        order (Tensor, optional): Positions in the order of the scan. Default: those of
            the map, as the options say.
    """

    lines: int
    options: dict[str, Any]
    order: torch.Tensor | None = None

    def gather(self, maps: torch.Tensor) -> torch.Tensor:
        """Bring the positions of maps (B, H, W, ...) in order, as maps of the same size."""
        if self.order is None:
            return maps
        return maps.flatten(1, 2).index_select(1, self.order).view(maps.shape)

    def scatter(self, maps: torch.Tensor) -> torch.Tensor:
        """Bring them back: the inverse of `gather`, and its adjoint."""
        if self.order is None:
            return maps
        return maps.flatten(1, 2).index_select(1, self.order.argsort()).view(maps.shape)


def _directions(x: torch.Tensor, orders: str) -> Iterator[_Direction]:
    height, width = x.shape[2:]
    if orders == 'cross':
        for reverse in (False, True):
            yield _Direction(height, dict(reverse=reverse))
            yield _Direction(width, dict(reverse=reverse, column=True))
    else:
        for order in order_table(orders, height, width, x.device):
            yield _Direction(height, {}, order)


def states_shape(x: torch.Tensor, A: torch.Tensor, orders: str = 'cross') -> tuple[int, ...]:
    """Return the shape of the states at the entry of each line.

    Args:
        x (Tensor): Map of shape (B, D, H, W).
        A (Tensor): Decay rates of shape (4, D, N).
        orders (str): Orders of the directions. Default: ``'cross'``.

    Returns:
        tuple[int, ...]: (B, 2 (H + W), N, D) for ``'cross'``, whose lines are rows and
        columns; (B, 4 H, N, D) for others, which are cut into H lines.
    """
    batch, channels, height, width = x.shape
    lines = 2 * (height + width) if orders == 'cross' else 4 * height
    return batch, lines, A.shape[-1], channels


def _split(
    low: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return dt, B, C and the step sizes before softplus of one direction."""
    rank = weight.shape[-1]
    state = (low.shape[-1] - rank) // 2
    dt, B, C = low.split([rank, state, state], dim=-1)
    z = dt @ weight.t() + bias
    return dt, B.unsqueeze(3), C.unsqueeze(3), z


def forward(
    x: torch.Tensor,
    dt_B_C: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
    orders: str = 'cross',
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scan a map in the dtype of A.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D, orders: As for `sparx_mm.kernels.ss2d`.

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, D, H, W), and the states at the entry
        of each line, of the shape of `states_shape`: one direction after the other,
        and in each one row or column of the map after the other; where a direction is
        cut into lines, in its order.
    """
    x, dt_B_C = x.to(A.dtype), dt_B_C.to(A.dtype)
    y, states = 0, []
    # (B, D, H, W) -> (B, H, W, 1, D)
    u = x.permute(0, 2, 3, 1).unsqueeze(3)
    for k, direction in enumerate(_directions(x, orders)):
        low = direction.gather(dt_B_C[:, :, :, k])
        _, B, C, z = _split(low, dt_weight[k], dt_bias[k])
        delta = softplus(z).unsqueeze(3)
        y_k, entry = scan_forward(
            direction.gather(u), delta, A[k, None], B, C, D[k, None], **direction.options
        )
        y = y + direction.scatter(y_k).squeeze(3)
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
    orders: str = 'cross',
) -> tuple[torch.Tensor, ...]:
    """Compute the gradients of `forward` in the dtype of A.

    Args:
        dy (Tensor): Gradient of y, of shape (B, D, H, W).
        states (Tensor): States from `forward`.
        x, dt_B_C, dt_weight, dt_bias, A, D, orders: As given to `forward`.

    Returns:
        tuple[Tensor, ...]: Gradients of x, dt_B_C, dt_weight, dt_bias, A and D, of
        their shapes.
    """
    dy, x, dt_B_C = (t.to(A.dtype) for t in (dy, x, dt_B_C))
    directions = list(_directions(x, orders))
    # (B, D, H, W) -> (B, H, W, 1, D)
    u, dy = (t.permute(0, 2, 3, 1).unsqueeze(3) for t in (x, dy))
    # (B, lines, N, D) -> (B, lines, 1, D, N)
    entries = (
        states.transpose(2, 3).unsqueeze(2).split([direction.lines for direction in directions], 1)
    )
    dx, ddt_B_C, dweight, dbias, dA, dD = 0, [], [], [], [], []
    for k, direction in enumerate(directions):
        low = direction.gather(dt_B_C[:, :, :, k])
        dt, B, C, z = _split(low, dt_weight[k], dt_bias[k])
        delta = softplus(z).unsqueeze(3)
        du, ddelta, dA_k, dB, dC, dD_k = scan_backward(
            direction.gather(dy),
            entries[k],
            direction.gather(u),
            delta,
            A[k, None],
            B,
            C,
            D[k, None],
            **direction.options,
        )
        dz = ddelta.squeeze(3) * torch.sigmoid(z)
        dx = dx + direction.scatter(du).squeeze(3)
        dlow = torch.cat([dz @ dt_weight[k], dB.squeeze(3), dC.squeeze(3)], -1)
        ddt_B_C.append(direction.scatter(dlow))
        dweight.append(dz.flatten(0, 2).t() @ dt.flatten(0, 2))
        dbias.append(dz.sum((0, 1, 2)))
        dA.append(dA_k.squeeze(0))
        dD.append(dD_k.squeeze(0))
    return (
        dx.permute(0, 3, 1, 2),
        torch.stack(ddt_B_C, 3),
        *(torch.stack(gradients) for gradients in (dweight, dbias, dA, dD)),
    )
