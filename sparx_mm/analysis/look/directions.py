"""What each direction of the four-direction scan contributes."""

from typing import NamedTuple

import numpy as np
import torch

from ...errors import UserError
from ...kernels import ss2d
from ...mixers import CS2D, SS2D
from .networks import Network

DIRECTIONS = ('right', 'down', 'left', 'up')
DIRECT = 'direct'


class Directions(NamedTuple):
    """Contributions of the directions in one layer.

    Attributes:
        shares (dict[str, float]): By direction of the scan, the part of the squared
            output that its states make, and ``'direct'``, that of the direct path.
            They sum to 1; a negative one cancels others.
        reach (dict[str, float]): By direction, the number of positions after which
            the median state has decayed to 1/e.
        maps (dict[str, ndarray]): By direction, the length of the contribution at
            each position of the first image, (h, w).
    """

    shares: dict[str, float]
    reach: dict[str, float]
    maps: dict[str, np.ndarray]


def direction_shares(network: Network, images: torch.Tensor, batch: int) -> dict[str, Directions]:
    """Split the output of every four-direction scan by direction.

    The four are summed by the scan, so that each contribution is that of a scan whose
    other directions read nothing out of their states.

    Args:
        network (Network): Backbone of ours with `SS2D`.
        images (Tensor): Normalized images, (N, 3, H, W).
        batch (int): Images at a time.

    Returns:
        dict[str, Directions]: By stage and layer, such as ``'2.4'``.

    Raises:
        UserError: If it has no such layers, or they scan in other orders.
    """
    layers = network.find_layers(
        'scan in four directions (SS2D)',
        # whose directions are others than the figure's
        lambda layer: isinstance(layer.mixer, SS2D) and not isinstance(layer.mixer, CS2D),
    )
    for name, layer in layers.items():
        if layer.mixer.scan is not ss2d:
            raise UserError(
                f'{network.name}: {type(layer.mixer).__name__} of layer {name} scans in orders of '
                f'its own, and only scans to the {", ".join(DIRECTIONS)} are split'
            )
    records = {name: _Record() for name in layers}
    try:
        for name, layer in layers.items():
            layer.mixer.scan = records[name]
        with torch.no_grad():
            for chunk in images.split(batch):
                network.maps(chunk)
    finally:
        for layer in layers.values():
            # the class's again
            del layer.mixer.scan
    return {name: record.summarize() for name, record in records.items()}


def scan_by_direction(x, dt_B_C, dt_weight, dt_bias, A, D) -> dict[str, torch.Tensor]:
    """Split the output of a scan.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D (Tensor): Arguments of
            `sparx_mm.kernels.ss2d`.

    Returns:
        dict[str, Tensor]: By direction, what its states make, and the direct path of
        all; maps of shape (B, D, H, W), whose sum is the scan's output.
    """
    states, nothing = A.shape[-1], torch.zeros_like(D)
    parts = {DIRECT: x * D.sum(0).to(x.dtype).view(1, -1, 1, 1)}
    for i, direction in enumerate(DIRECTIONS):
        alone = dt_B_C.clone()
        others = [j for j in range(len(DIRECTIONS)) if j != i]
        # what is read out of the states: C
        alone[:, :, :, others, -states:] = 0
        parts[direction] = ss2d(x, alone, dt_weight, dt_bias, A, nothing)
    return parts


class _Record:
    """A scan that notes what its directions contribute."""

    def __init__(self):
        self.sums, self.reaches, self.maps, self.total = {}, [], {}, 0.0

    def __call__(self, x, dt_B_C, dt_weight, dt_bias, A, D):
        y = ss2d(x, dt_B_C, dt_weight, dt_bias, A, D)
        for name, part in scan_by_direction(x, dt_B_C, dt_weight, dt_bias, A, D).items():
            product = float((part.double() * y.double()).sum())
            self.sums[name] = self.sums.get(name, 0.0) + product
            self.maps.setdefault(name, part[0].norm(dim=0).cpu().numpy())
        self.total += float(y.double().square().sum())
        rank = dt_weight.shape[-1]
        # (B, H, W, 4, R) -> (B, H, W, 4, D)
        dt = torch.einsum('bhwkr,kdr->bhwkd', dt_B_C[..., :rank].float(), dt_weight) + dt_bias
        decay = torch.nn.functional.softplus(dt)[..., None] * -A
        # -> (4, positions)
        self.reaches.append((1 / decay.movedim(3, 0).flatten(1)).median(dim=1).values.cpu())
        return y

    def summarize(self):
        reaches = torch.stack(self.reaches).mean(0).tolist()
        shares = {name: value / max(self.total, 1e-30) for name, value in self.sums.items()}
        return Directions(shares, dict(zip(DIRECTIONS, reaches)), self.maps)


def draw_directions(directions: dict[str, dict[str, Directions]]):
    """Draw bars of what each direction contributes, by layer.

    Args:
        directions (dict[str, dict[str, Directions]]): Results of `direction_shares`
            by title.

    Returns:
        Figure: The picture: for each network the bars, and for the last layer of each
        stage the maps of the first image.
    """
    from matplotlib.figure import Figure

    figure = Figure((8, 4.2 * len(directions)), layout='constrained')
    for part, (title, layers) in zip(
        np.atleast_1d(figure.subfigures(len(directions))), directions.items()
    ):
        left, right = part.subfigures(1, 2, width_ratios=(1, 1.15))
        _draw_bars(left.subplots(), title, layers)
        left.legend(fontsize='x-small', ncols=5, loc='outside lower center')
        lasts = {name.partition('.')[0]: name for name in layers}
        axes = right.subplots(len(lasts), len(DIRECTIONS) + 1, squeeze=False)
        for i, (row, name) in enumerate(zip(axes, lasts.values())):
            row[0].set_ylabel(f'layer {name}', fontsize='small')
            for ax, direction in zip(row, (*DIRECTIONS, DIRECT)):
                ax.imshow(layers[name].maps[direction], vmin=0, cmap='viridis')
                ax.set(xticks=[], yticks=[])
                if i == 0:
                    ax.set_title(direction, fontsize='small')
    return figure


def _draw_bars(ax, title, layers):
    names, low, high = list(layers), np.zeros(len(layers)), np.zeros(len(layers))
    for direction in (*DIRECTIONS, DIRECT):
        share = np.array([layers[name].shares[direction] for name in names])
        # what cancels hangs below the axis
        start = np.where(share < 0, low, high)
        color = 'lightgray' if direction == DIRECT else None
        ax.bar(names, share, bottom=start, label=direction, color=color)
        low, high = low + share.clip(max=0), high + share.clip(min=0)
    ax.axhline(0, color='black', linewidth=0.5)
    ax.set_title(title, fontsize='small')
    ax.set(xlabel='layer', ylabel='part of the squared output', ylim=(min(low.min(), 0), None))
    ax.tick_params('x', labelrotation=90, labelsize=7)
