"""The orders in which the four directions of a scan walk over a map.

An order lists the positions of a flattened map, each of them once. The sizes may be
symbolic, so that a network that calls these functions compiles and exports for any size.
"""

import functools

import torch


def cross_orders(height: int, width: int, device: torch.device | str | None = None) -> torch.Tensor:
    """List the positions along rows, along columns, and both backwards.

    Args:
        height (int): Number of rows of the map.
        width (int): Number of columns of the map.
        device (torch.device or str, optional): Device of the result. Default: torch's
            default device.

    Returns:
        Tensor: Indices of shape (4, height * width): 0 row-major, 1 column-major,
        2 the reverse of 0, 3 the reverse of 1.
    """
    rows = torch.arange(height * width, device=device)
    columns = rows.view(height, width).t().flatten()
    return torch.stack([rows, columns, rows.flip(0), columns.flip(0)])


def diagonal_orders(
    height: int, width: int, device: torch.device | str | None = None
) -> torch.Tensor:
    """List the positions along rows, columns, anti-diagonals and diagonals (CS2D).

    With i for the row and j for the column of a position, anti-diagonals are sorted by
    (i + j, i), and diagonals by (i - j, i): each of them is walked from its top.

    Args:
        height, width, device: As for `cross_orders`.

    Returns:
        Tensor: Indices of shape (4, height * width): 0 row-major, 1 column-major,
        2 anti-diagonals, from the top left corner, 3 diagonals, from the top right one.
    """
    i = torch.arange(height, device=device).unsqueeze(1)
    j = torch.arange(width, device=device)
    # no two positions have the same key
    keys = [i * width + j, i + j * height, (i + j) * height + i, (i - j) * height + i]
    return torch.stack([key.flatten().argsort() for key in keys])


def snake_places(height: int, width: int, device: torch.device | str | None = None) -> torch.Tensor:
    """Count the positions along snakes, which turn back at the end of each line (PlainMamba).

    Args:
        height, width, device: As for `cross_orders`.

    Returns:
        Tensor: Place of each position in the order of each direction, of shape
        (4, height * width): 0 by rows, every other one backwards, 1 the reverse of 0,
        2 by columns, every other one backwards, 3 the reverse of 2.
    """
    i = torch.arange(height, device=device).unsqueeze(1)
    j = torch.arange(width, device=device)
    rows = i * width + torch.where(i % 2 == 1, width - 1 - j, j)
    columns = j * height + torch.where(j % 2 == 1, height - 1 - i, i)
    last = height * width - 1
    return torch.stack([rows, last - rows, columns, last - columns]).flatten(1)


def snake_orders(height: int, width: int, device: torch.device | str | None = None) -> torch.Tensor:
    """List the positions along the snakes of `snake_places`.

    Args:
        height, width, device: As for `cross_orders`.

    Returns:
        Tensor: Indices of shape (4, height * width).
    """
    return snake_places(height, width, device).argsort(1)


ORDERS = dict(cross=cross_orders, diagonal=diagonal_orders, snake=snake_orders)


def order_table(orders: str, height: int, width: int, device: torch.device) -> torch.Tensor:
    """Look up orders as the backends read them; for code that nothing traces.

    Args:
        orders (str): A key of ``ORDERS``.
        height (int): Number of rows of the map.
        width (int): Number of columns of the map.
        device (torch.device): Device of the result.

    Returns:
        Tensor: Indices of shape (4, height * width), int32; not to be written to.
    """
    if device.type == 'cuda' and torch.cuda.is_current_stream_capturing():
        # a graph reads it again when it may be no longer kept
        return ORDERS[orders](height, width, device).int()
    return _kept_table(orders, height, width, device)


@functools.lru_cache(maxsize=64)
def _kept_table(orders: str, height: int, width: int, device: torch.device) -> torch.Tensor:
    # made on the CPU: a copy from there is complete for every stream that reads it
    return ORDERS[orders](height, width, 'cpu').int().to(device)
