"""Effective receptive fields; SparX's paper, Figure 4."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from .networks import Network

# parts of the whole contribution whose squares are measured
PARTS = (0.2, 0.3, 0.5, 0.99)
# pixels of which the mean is drawn, because stems of stride 4 leave their grid
_CELL = 4


class Field(NamedTuple):
    """Effective receptive field of one position.

    Attributes:
        contributions (ndarray): Contribution of each pixel to the position in the
            middle of a map, (H, W); their sum is 1.
        center (tuple[float, float]): Row and column of the position, in pixels.
    """

    contributions: np.ndarray
    center: tuple[float, float]

    def areas(self) -> dict[str, float]:
        """Return the area of the squares around the center that hold each of ``PARTS``.

        Returns:
            dict[str, float]: By part, the area as a part of the image's.
        """
        rows, columns = np.indices(self.contributions.shape)
        # of a pixel's middle
        distances = np.maximum(
            abs(rows + 0.5 - self.center[0]), abs(columns + 0.5 - self.center[1])
        ).ravel()
        order = distances.argsort(kind='stable')
        sums = self.contributions.ravel()[order].cumsum()
        areas = {}
        for part in PARTS:
            last = min(np.searchsorted(sums, part * sums[-1]), len(sums) - 1)
            areas[str(part)] = float((distances <= distances[order[last]]).mean())
        return areas


def receptive_fields(network: Network, images: torch.Tensor, batch: int) -> list[Field]:
    """Measure the effective receptive field of every stage.

    As in RepLKNet (https://arxiv.org/abs/2203.06717), after Luo et al. 2016: the
    positive parts of the gradients of the features in the middle of a map, by pixel,
    summed over channels and images. Features are rectified before they are summed,
    because those after a layer norm sum to a constant.

    Args:
        network (Network): Backbone.
        images (Tensor): Normalized images, (N, 3, H, W).
        batch (int): Images at a time.

    Returns:
        list[Field]: For each stage, first to last.
    """
    totals, centers = {}, {}
    for chunk in images.split(batch):
        chunk = chunk.detach().requires_grad_()
        maps = network.maps(chunk)
        for i, x in enumerate(maps):
            row, column = (side // 2 for side in x.shape[2:])
            features = x[:, :, row, column].relu().sum()
            (grad,) = torch.autograd.grad(features, chunk, retain_graph=i + 1 < len(maps))
            field = grad.clamp(min=0).sum((0, 1)).double()
            totals[i] = totals[i] + field if i in totals else field
            pixels = (side / cells for side, cells in zip(chunk.shape[2:], x.shape[2:]))
            centers[i] = tuple((p + 0.5) * n for p, n in zip((row, column), pixels))
    return [Field((total / total.sum()).cpu().numpy(), centers[i]) for i, total in totals.items()]


def draw_fields(fields: dict[str, list[Field]]):
    """Draw effective receptive fields: a row for each network, a column for each stage.

    Args:
        fields (dict[str, list[Field]]): Results of `receptive_fields` by title.

    Returns:
        Figure: The picture; dark is a thousandth of the largest contribution or less.
    """
    from matplotlib.colors import LogNorm

    from .figures import grid, label_row

    columns = max(map(len, fields.values()))
    figure, axes = grid(len(fields), columns)
    for row, (title, stages) in zip(axes, fields.items()):
        label_row(row[0], title)
        for i, (ax, field) in enumerate(zip(row, stages)):
            cells = torch.from_numpy(field.contributions)[None]
            cells = F.avg_pool2d(cells, _CELL, ceil_mode=True)[0].numpy()
            relative = cells / cells.max()
            image = ax.imshow(relative.clip(1e-3), norm=LogNorm(1e-3, 1), cmap='viridis')
            areas = field.areas()
            ax.set_title(f'stage {i}: half in {areas["0.5"]:.1%}', fontsize='small')
    figure.colorbar(image, ax=axes, shrink=0.7, label='contribution, of the largest')
    return figure
