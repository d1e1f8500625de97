"""Attention between the channels of ganglion layers."""

import math
from typing import NamedTuple

import numpy as np
import torch

from ...aggregators import DMCA
from ...aggregators.dmca import attention_map
from .networks import Network, watching


class ChannelAttention(NamedTuple):
    """Attention of one ganglion layer.

    Attributes:
        weights (ndarray): Means over the images, (groups, c, c); each row sums to 1.
        numbers (dict): ``sources``, the number of earlier layers read; ``entropy`` of
            the rows, where 1 is equal weights and 0 a single channel; ``largest``
            weight of a row, mean; ``varies``, the deviation of weights between images
            as a part of the equal weight.
    """

    weights: np.ndarray
    numbers: dict


def channel_attentions(
    network: Network, images: torch.Tensor, batch: int
) -> dict[str, ChannelAttention]:
    """Record the attention maps of all ganglion layers.

    Args:
        network (Network): Backbone of ours whose ganglion layers have DMCA.
        images (Tensor): Normalized images, (N, 3, H, W).
        batch (int): Images at a time.

    Returns:
        dict[str, ChannelAttention]: By stage and layer, such as ``'2.4'``.

    Raises:
        UserError: If it has no such layers.
    """
    layers = network.find_layers(
        'ganglion layers with DMCA, whose channels attend to each other',
        lambda layer: isinstance(layer.proj, DMCA),
    )
    queries_and_keys = {
        (name, part): getattr(layer.proj, part)
        for name, layer in layers.items()
        for part in ('q', 'k')
    }
    recorded = {name: [] for name in layers}
    for chunk in images.split(batch):
        made = {}
        with torch.no_grad(), watching(queries_and_keys, made.__setitem__):
            network.maps(chunk)
        for name, layer in layers.items():
            dmca = layer.proj
            weights = attention_map(made[name, 'q'], made[name, 'k'], dmca.num_groups, dmca.scale)
            recorded[name].append(weights.cpu().double())
    return {
        name: _summarize(torch.cat(weights), layers[name].num_sources)
        for name, weights in recorded.items()
    }


def _summarize(weights, num_sources):
    channels = weights.shape[-1]
    entropy = -(weights * weights.clamp(min=1e-30).log()).sum(-1).mean()
    numbers = dict(
        sources=num_sources,
        entropy=float(entropy) / math.log(channels) if channels > 1 else 0.0,
        largest=float(weights.amax(-1).mean()),
        varies=float(weights.std(0, correction=0).mean()) * channels,
    )
    return ChannelAttention(weights.mean(0).numpy(), numbers)


def draw_attentions(attentions: dict[str, dict[str, ChannelAttention]]):
    """Draw attention maps: a row for each ganglion layer, a column for each group.

    Args:
        attentions (dict[str, dict[str, ChannelAttention]]): Results of
            `channel_attentions` by title.

    Returns:
        Figure: The picture; networks are below each other.
    """
    from .figures import grid, label_row

    named = [
        (title, name, attention)
        for title, layers in attentions.items()
        for name, attention in layers.items()
    ]
    columns = max(len(attention.weights) for _, _, attention in named)
    figure, axes = grid(len(named), columns, (1.3, 1.3))
    for row, (title, name, attention) in zip(axes, named):
        # of equal weights
        relative = attention.weights * attention.weights.shape[-1]
        entropy = attention.numbers['entropy']
        label_row(row[0], f'{title}\nlayer {name}\nentropy {entropy:.2f}')
        row[0].yaxis.label.set(rotation=0, ha='right', va='center', fontsize=7)
        for ax, group in zip(row, relative):
            image = ax.imshow(group, vmin=0, vmax=max(relative.max(), 1), cmap='viridis')
        bar = figure.colorbar(image, ax=row, shrink=0.8)
        bar.ax.tick_params(labelsize=7)
    figure.suptitle('weights, of equal ones; a column for each group of channels', fontsize='small')
    return figure
