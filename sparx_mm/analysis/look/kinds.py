"""What tools/look.py measures and draws, by name."""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ...checkpoint_io import write_text
from ...errors import UserError
from .attention import channel_attentions, draw_attentions
from .directions import direction_shares, draw_directions
from .feature_maps import draw_maps, stage_maps
from .images import normalize
from .networks import Network
from .receptive_field import draw_fields, receptive_fields
from .similarity import draw_similarity, layer_similarity


class Kind(NamedTuple):
    """A way to look at networks.

    Attributes:
        measure (Callable): Function of a network, normalized images and the number
            of images at a time.
        draw (Callable): Function from the results by title, and the images if
            ``on_images``, to a picture.
        numbers (Callable): Function from a result to what is written as JSON.
        num (int): Number of images, unless another is given.
        text (str): What is drawn, for the help.
        on_images (bool): Draw over the images.
    """

    measure: Callable
    draw: Callable
    numbers: Callable
    num: int
    text: str
    on_images: bool = False


def _field_numbers(fields):
    return [dict(center=field.center, area_by_part=field.areas()) for field in fields]


def _similarity_numbers(similarity):
    return dict(similarity._asdict(), **similarity.numbers())


def _direction_numbers(layers):
    return {name: dict(shares=one.shares, reach=one.reach) for name, one in layers.items()}


KINDS = {
    'erf': Kind(
        receptive_fields,
        draw_fields,
        _field_numbers,
        200,
        'effective receptive field of every stage',
    ),
    'cka': Kind(
        layer_similarity,
        draw_similarity,
        _similarity_numbers,
        64,
        'similarity of all pairs of token mixers',
    ),
    'maps': Kind(
        stage_maps,
        draw_maps,
        lambda stages: [stage.numbers for stage in stages],
        2,
        'maps of every stage over images',
        on_images=True,
    ),
    'attention': Kind(
        channel_attentions,
        draw_attentions,
        lambda layers: {name: one.numbers for name, one in layers.items()},
        16,
        'attention between channels of ganglion layers',
    ),
    'directions': Kind(
        direction_shares,
        draw_directions,
        _direction_numbers,
        16,
        'what each direction of a scan contributes',
    ),
}


def look(
    kind: str, networks: Sequence[Network], images: torch.Tensor, batch: int = 8, device='cpu'
) -> tuple:
    """Measure and draw one kind for all networks.

    Args:
        kind (str): Key of ``KINDS``.
        networks (Sequence[Network]): Backbones, see `make_network`.
        images (Tensor): RGB images, (N, 3, H, W), uint8; see `read_images`.
        batch (int): Images at a time. Default: 8.
        device (torch.device or str): Device of the networks. Default: ``'cpu'``.

    Returns:
        tuple[Figure, dict]: The picture, and by name of the network its ``weights``
        and the ``numbers``.

    Raises:
        UserError: If a network has nothing of the kind, or two have one name.
    """
    names = [network.name for network in networks]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f'two networks are named {twice.pop()!r}: give one label=NAME')
    way = KINDS[kind]
    given = normalize(images.to(device))
    results = [way.measure(network, given, batch) for network in networks]
    titles = [network.title for network in networks]
    # (N, 3, H, W) -> (N, H, W, 3)
    pictures = [images.permute(0, 2, 3, 1).numpy()] if way.on_images else []
    figure = way.draw(dict(zip(titles, results)), *pictures)
    numbers = {
        network.name: dict(weights=network.weights, numbers=way.numbers(result))
        for network, result in zip(networks, results)
    }
    return figure, numbers


def write_numbers(path: str, numbers: dict) -> None:
    """Write numbers as JSON, with five digits.

    Args:
        path (str): File name.
        numbers (dict): Dicts, lists, arrays and numbers.

    Raises:
        WriteError: If the file cannot be written.
    """
    write_text(path, json.dumps(_rounded(numbers), indent=1) + '\n')


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return _rounded(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_rounded(inner) for inner in value]
    return float(f'{value:.5g}') if isinstance(value, float) else value
