"""The part of a model that is exported, with its names and what a user must know of it."""

import json
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from ..errors import UserError
from ..inference import Predictor
from .detector import make_detector
from .segmentor import Segmentor, replace_layers

PARTS = ('model', 'backbone')


class Network(NamedTuple):
    """A network to export.

    Args:
        module (nn.Module): The network, in eval mode on the CPU.
        kind (str): ``'maps'``, ``'logits'``, ``'labels'`` or ``'boxes'``.
        inputs (tuple[str, ...]): Names of its inputs.
        outputs (tuple[str, ...]): Names of its outputs; none where only a run tells their number,
            see `name_outputs`.
        facts (dict): What goes into the file: classes, normalisation, letterbox.
    """

    module: nn.Module
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    facts: dict[str, Any]

    def run(self, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Compute the outputs in torch.

        Args:
            arrays (dict[str, ndarray]): Images and sizes; what it has no input for is left.

        Returns:
            list[ndarray]: The outputs.
        """
        with torch.no_grad():
            outputs = self.module(*(torch.from_numpy(arrays[name]) for name in self.inputs))
        outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
        return [output.numpy() for output in outputs]


def make_network(predictor: Predictor, part: str = 'model', labels: bool = False) -> Network:
    """Take what is exported of a model.

    Args:
        predictor (Predictor): The model.
        part (str): ``'model'`` or ``'backbone'``. Default: ``'model'``.
        labels (bool): Of a segmentor, export the label map instead of logits.
            Default: False.

    Returns:
        Network: The network.

    Raises:
        UserError: If it cannot be exported.
    """
    model = predictor.model
    images, names = ('images',), list(predictor.classes)
    facts = dict(_preparation(model), classes=names, task=predictor.task, part=part)
    if labels and (part, predictor.task) != ('model', 'segmentation'):
        raise UserError('--labels is for segmentors exported whole: leave it out')
    if part == 'backbone':
        # the encoder of a U-shaped segmentor returns one map more
        described = getattr(model.backbone, 'feature_info', model.backbone)
        outputs = _map_names(getattr(described, 'out_indices', ()))
        backbone = model.backbone
        if predictor.task == 'segmentation':
            backbone = replace_layers(deepcopy(backbone))
        # those of OpenMMLab return None here
        backbone.eval()
        return Network(backbone, 'maps', images, outputs, facts)
    if predictor.task == 'segmentation':
        _check_mode(model)
        # copied, because the model itself is what the copy is held to
        network = Segmentor(replace_layers(deepcopy(model)), labels).eval()
        if not labels and model.decode_head.out_channels == 1:
            facts['threshold'] = model.decode_head.threshold
        return Network(network, network.outputs[0], images, network.outputs, facts)
    if predictor.task == 'detection':
        network = make_detector(model)
        return Network(network, 'boxes', ('images', 'sizes'), network.outputs, facts)
    raise UserError(
        f'no whole export for {predictor.task}: --part backbone exports the backbone of any model'
    )


def name_outputs(network: Network, arrays: dict[str, np.ndarray]) -> Network:
    """Name the maps of a backbone that has no ``out_indices``, by their number in a run.

    Args:
        network (Network): The network.
        arrays (dict[str, ndarray]): Images and sizes.

    Returns:
        Network: The network, with names of its outputs.
    """
    if network.outputs:
        return network
    return network._replace(outputs=_map_names(range(len(network.run(arrays)))))


def _map_names(numbers) -> tuple[str, ...]:
    return tuple(f'stage{i}' for i in numbers)


def _check_mode(model):
    mode = (model.test_cfg or {}).get('mode', 'whole')
    if mode != 'whole':
        raise UserError(
            f'the model predicts with test_cfg.mode={mode}, and a file computes an image as a '
            'whole: give --cfg-options model.test_cfg.mode=whole, or --part backbone'
        )


def _preparation(model: nn.Module) -> dict[str, Any]:
    prepare = model.data_preprocessor
    mean, std = (
        [float(v) for v in getattr(prepare, name, torch.full((3,), default)).flatten()]
        for name, default in (('mean', 0.0), ('std', 1.0))
    )
    # images are read as BGR; each library has its own name for turning them to RGB
    names = ('_channel_conversion', 'channel_conversion', 'to_rgb')
    switch = any(getattr(prepare, name, False) for name in names)
    return dict(
        mean=mean,
        std=std,
        channels='RGB' if switch else 'BGR',
        letterbox='scaled to fit, normalised, then padded with zeros at the right and the bottom',
        divisor=int(getattr(prepare, 'pad_size_divisor', 1)),
    )


def as_text(facts: dict[str, Any]) -> dict[str, str]:
    """Write facts as the text that files keep: lists as JSON.

    Args:
        facts (dict): The facts.

    Returns:
        dict[str, str]: Name and text of each.
    """
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()}
