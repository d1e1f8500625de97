"""The maps of the stages over an image, by their principal components."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from .networks import Network

COLORS = 3
# part of a picture that is the image, in gray
_IMAGE = 0.25


class StageMaps(NamedTuple):
    """Maps of one stage.

    Attributes:
        colors (ndarray): First three principal components at each position, over all
            images, each from 0 to 1; (N, h, w, 3).
        numbers (dict): ``channels``, ``height`` and ``width``; ``explained``, the part
            of the variance that is in each of the three; ``dimensions``, the number
            of equal components that would have the same entropy; ``norm``, the mean
            length of a position's features.
    """

    colors: np.ndarray
    numbers: dict


def stage_maps(network: Network, images: torch.Tensor, batch: int) -> list[StageMaps]:
    """Reduce the maps of every stage to three principal components.

    Args:
        network (Network): Backbone.
        images (Tensor): Normalized images, (N, 3, H, W).
        batch (int): Images at a time.

    Returns:
        list[StageMaps]: For each stage, first to last.
    """
    parts = []
    with torch.no_grad():
        for chunk in images.split(batch):
            parts.append([x.cpu() for x in network.maps(chunk)])
    return [_reduce(torch.cat(maps)) for maps in zip(*parts)]


def _reduce(maps):
    count, channels, height, width = maps.shape
    # (N, C, h, w) -> (N*h*w, C)
    tokens = maps.permute(0, 2, 3, 1).flatten(0, 2).double()
    norm = float(tokens.norm(dim=1).mean())
    tokens = tokens - tokens.mean(0)
    values, vectors = torch.linalg.eigh(tokens.T @ tokens)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)[:, :COLORS]
    # the largest weight is positive, because the sign of a component is arbitrary
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    components = tokens @ (vectors * largest.sign())
    shares = values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)
    entropy = -(shares * shares.clamp(min=1e-30).log()).sum()
    low, high = (components.quantile(q, dim=0) for q in (0.01, 0.99))
    colors = ((components - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    colors = F.pad(colors, (0, COLORS - colors.shape[1])).view(count, height, width, COLORS)
    numbers = dict(
        channels=channels,
        height=height,
        width=width,
        explained=shares[:COLORS].tolist(),
        dimensions=float(entropy.exp()),
        norm=norm,
    )
    return StageMaps(colors.numpy(), numbers)


def draw_maps(maps: dict[str, list[StageMaps]], images: np.ndarray):
    """Draw the maps of all stages over images: a row for each network and image.

    Args:
        maps (dict[str, list[StageMaps]]): Results of `stage_maps` by title.
        images (ndarray): RGB images, (N, H, W, 3), uint8.

    Returns:
        Figure: The picture.
    """
    from .figures import grid, label_row

    columns = 1 + max(map(len, maps.values()))
    figure, axes = grid(len(maps) * len(images), columns)
    rows = iter(axes)
    for title, stages in maps.items():
        for i, image in enumerate(images):
            row = next(rows)
            row[0].imshow(image)
            label_row(row[0], title)
            gray = image.mean(2, keepdims=True) / 255
            for stage, ax in enumerate(row[1 : 1 + len(stages)]):
                colors = torch.from_numpy(stages[stage].colors[i]).permute(2, 0, 1)
                colors = F.interpolate(colors[None], image.shape[:2], mode='nearest')[0]
                colors = colors.permute(1, 2, 0).numpy()
                ax.imshow(_IMAGE * gray + (1 - _IMAGE) * colors)
                dimensions = stages[stage].numbers['dimensions']
                ax.set_title(f'stage {stage}: {dimensions:.0f} dimensions', fontsize='small')
    return figure
