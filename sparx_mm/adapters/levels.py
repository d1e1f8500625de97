"""The tokens of several maps in one sequence, map after map, row by row."""

from collections.abc import Sequence

import torch

# rows and columns of each map
Sizes = Sequence[tuple[int, int]]


def pyramid_sizes(x: torch.Tensor) -> Sizes:
    """Return the sizes of an adapter's three maps of tokens.

    Args:
        x (Tensor): The backbone's map, of shape (B, C, H, W) with even H and W.

    Returns:
        Sizes: Those of strides 8, 16 and 32; the map's own is the second.
    """
    height, width = x.shape[2:]
    return (2 * height, 2 * width), (height, width), (height // 2, width // 2)


def to_tokens(*maps: torch.Tensor) -> torch.Tensor:
    """Join maps.

    Args:
        *maps (Tensor): Maps of shape (B, C, H_i, W_i).

    Returns:
        Tensor: Tokens of shape (B, sum of H_i * W_i, C).
    """
    # (B, C, H, W) -> (B, H*W, C)
    tokens = [one.flatten(2).transpose(1, 2) for one in maps]
    return tokens[0] if len(tokens) == 1 else torch.cat(tokens, 1)


def to_maps(tokens: torch.Tensor, sizes: Sizes) -> list[torch.Tensor]:
    """Invert `to_tokens`.

    Args:
        tokens (Tensor): Tokens of shape (B, L, C).
        sizes (Sizes): Sizes of the maps.

    Returns:
        list[Tensor]: Maps of shape (B, C, H_i, W_i).
    """
    maps, start = [], 0
    for height, width in sizes:
        one = tokens[:, start : start + height * width]
        # not unflattened, because torch's exporter to ONNX takes its sizes as constants
        # (B, H*W, C) -> (B, H, W, C) -> (B, C, H, W)
        maps.append(one.reshape(one.shape[0], height, width, one.shape[2]).permute(0, 3, 1, 2))
        start = start + height * width
    return maps


def cell_centres(sizes: Sizes, like: torch.Tensor) -> torch.Tensor:
    """Return the centres of the cells of maps, as parts of their widths and heights.

    Args:
        sizes (Sizes): Sizes of the maps.
        like (Tensor): Tensor of the device of the result, and of its dtype if that has 32
            bits or more.

    Returns:
        Tensor: x and y from 0 to 1 of every token, of shape (L, 2).
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    centres = []
    for height, width in sizes:
        ys, xs = (
            (torch.arange(size, dtype=dtype, device=like.device) + 0.5) / size
            for size in (height, width)
        )
        ys, xs = torch.meshgrid(ys, xs, indexing='ij')
        centres.append(torch.stack([xs, ys], -1).flatten(0, 1))
    return torch.cat(centres)
