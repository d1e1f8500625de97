"""Similarity of layers by centered kernel alignment; SparX's paper, Figure 5."""

from typing import NamedTuple

import numpy as np
import torch

from ...errors import UserError
from .networks import Network, watching

# fewer give no unbiased estimate
LEAST = 4


class Similarity(NamedTuple):
    """Similarity of the layers of a network.

    Attributes:
        layers (list[str]): Names of the token mixers.
        matrix (ndarray): CKA of each with each, (layers, layers).
        ganglions (list[int]): Numbers of the layers that read several earlier ones.
    """

    layers: list[str]
    matrix: np.ndarray
    ganglions: list[int]

    def numbers(self) -> dict[str, float]:
        """Return the means over all pairs of layers, and over neighbours."""
        apart = self.matrix[np.triu_indices(len(self.layers), 1)]
        neighbours = self.matrix.diagonal(1)
        return dict(mean=float(apart.mean()), mean_of_neighbours=float(neighbours.mean()))


def unbiased_hsic(grams: torch.Tensor) -> torch.Tensor:
    """Estimate the Hilbert-Schmidt independence criterion of all pairs of kernels.

    Song et al. 2012, equation 5: its mean over batches is that over all images.

    Args:
        grams (Tensor): Products of the features of n images, (layers, n, n), n at
            least 4.

    Returns:
        Tensor: Estimates, (layers, layers).
    """
    n = grams.shape[-1]
    grams = grams * (1 - torch.eye(n, dtype=grams.dtype))
    sums = grams.sum(-1)
    totals = sums.sum(-1)
    flat = grams.flatten(1)
    traces = flat @ flat.T
    products = totals[:, None] * totals / ((n - 1) * (n - 2))
    return (traces + products - 2 / (n - 2) * (sums @ sums.T)) / (n * (n - 3))


def layer_similarity(network: Network, images: torch.Tensor, batch: int) -> Similarity:
    """Compare what the token mixers of a network return by linear CKA.

    In batches, as Nguyen et al. 2021 (https://arxiv.org/abs/2010.15327): the memory
    does not grow with the number of images.

    Args:
        network (Network): Backbone.
        images (Tensor): Normalized images, (N, 3, H, W). Those beyond full batches
            count if they are at least 4.
        batch (int): Images at a time, at least 4.

    Returns:
        Similarity: CKA of all pairs of layers, from 0 to 1 but for noise.

    Raises:
        UserError: If there are fewer than 4 images, or the network has no token
            mixers that are known.
    """
    if min(batch, len(images)) < LEAST:
        raise UserError(f'CKA needs {LEAST} images and --batch {LEAST} or more')
    mixers = network.find(network.mixers)
    if len(mixers) < 2:
        raise UserError(
            f'the token mixers of {network.name} are unknown: give mixers=PATTERN of their '
            f'names, such as mixers="stages\\.\\d+\\.\\d+"'
        )
    total = 0
    for chunk in images.split(batch):
        if len(chunk) < LEAST:
            continue
        grams = {}

        def watch(name, output):
            output = output if isinstance(output, torch.Tensor) else output[0]
            if len(output) != len(chunk):
                raise UserError(
                    f'{name} of {network.name} returns {len(output)} rows for {len(chunk)} '
                    'images: give the mixers=PATTERN of modules that return one for each'
                )
            x = output.flatten(1).double()
            # changes nothing but the rounding
            x = x - x.mean(0)
            grams[name] = (x @ x.T).cpu()

        with torch.no_grad(), watching(mixers, watch):
            network.maps(chunk)
        total = total + unbiased_hsic(torch.stack([grams[name] for name in mixers]))
    # a layer that does not depend on the image is like no other
    scale = total.diagonal().clamp(min=0).sqrt()
    matrix = total / (scale[:, None] * scale).clamp(min=torch.finfo(total.dtype).tiny)
    return Similarity(list(mixers), matrix.numpy(), _ganglions(network, mixers))


def _ganglions(network, mixers):
    """Return the numbers of the mixers whose layer reads several earlier ones."""
    layers = [network.module.get_submodule(name.rpartition('.')[0]) for name in mixers]
    return [i for i, layer in enumerate(layers) if getattr(layer, 'num_sources', 0)]


def draw_similarity(similarities: dict[str, Similarity]):
    """Draw the similarity of all pairs of layers, a square for each network.

    Args:
        similarities (dict[str, Similarity]): Results of `layer_similarity` by title.

    Returns:
        Figure: The picture; ganglion layers have a red tick.
    """
    from .figures import grid

    figure, axes = grid(1, len(similarities), (3.2, 4.2))
    for ax, (title, similarity) in zip(axes[0], similarities.items()):
        image = ax.imshow(similarity.matrix, vmin=0, vmax=1, cmap='magma', origin='lower')
        mean = similarity.numbers()['mean']
        ax.set_title(f'{title}\nmean {mean:.2f}', fontsize='small')
        step = max(len(similarity.layers) // 8, 1)
        ax.set_xticks(range(0, len(similarity.layers), step))
        ax.set_yticks(similarity.ganglions, ['◂'] * len(similarity.ganglions), color='tab:red')
        ax.tick_params(left=False, labelleft=False, right=False, labelright=True, labelsize=7)
        ax.set_xlabel('layer', fontsize='small')
    figure.colorbar(image, ax=axes, shrink=0.8, label='CKA of token mixers')
    return figure
