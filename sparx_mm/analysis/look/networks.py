"""Backbones to look at: built by name, with or without weights."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from ...backbones import Backbone
from ...backbones.pretrained import PretrainedBackboneInit
from ...checkpoint_io import load_checkpoint
from ...errors import UserError
from ...layers import Layer
from ...state_dicts import find_prefixes, find_weights, strip_prefix
from ..models import load_model

# names of the token mixers: ours, Swin's and ConvNeXt's
_MIXERS = (
    r'(stages\.\d+\.)?layers\.\d+\.mixer',
    r'stages\.\d+\.blocks\.\d+\.attn',
    r'stages\.\d+\.\d+\.depthwise_conv',
)


class Network(NamedTuple):
    """A backbone to look at, in eval mode and without gradients of its weights.

    Attributes:
        name (str): Name in pictures and numbers.
        module (nn.Module): The backbone.
        weights (str): File of its weights, or ``'random weights'``.
        mixers (str): Pattern that the names of its token mixers match.
    """

    name: str
    module: nn.Module
    weights: str
    mixers: str

    @property
    def title(self) -> str:
        """Name, and that the weights are random where they are."""
        return self.name + ('' if self.weights != RANDOM else f'\n{RANDOM}')

    def maps(self, images: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the maps of all stages.

        Args:
            images (Tensor): Normalized images, (B, 3, H, W).

        Returns:
            Sequence[Tensor]: Maps, (B, C, h, w) each.

        Raises:
            UserError: If the backbone returns something else, or a map with NaN or
                infinity.
        """
        maps = self.module(images)
        maps = (maps,) if isinstance(maps, torch.Tensor) else maps
        for x in maps:
            if x.ndim != 4:
                raise UserError(
                    f'{self.name} returns a tensor of shape {tuple(x.shape)} and no map: give '
                    'it the options that make it return maps, as mmdet would need them'
                )
            if not x.isfinite().all():
                raise UserError(f'{self.name} returns NaN or infinity with {self.weights}')
        return maps

    def find(self, pattern: str) -> dict[str, nn.Module]:
        """Return the modules whose names match a pattern, in order.

        Args:
            pattern (str): Regular expression of a whole name.
        """
        named = self.module.named_modules()
        return {name: module for name, module in named if re.fullmatch(pattern, name)}

    def find_layers(self, what: str, is_wanted: Callable[[nn.Module], bool]) -> dict:
        """Return our layers of a kind by stage and number, such as ``'2.3'``.

        Those of a backbone without stages are by number alone.

        Args:
            what (str): What they have, for the message.
            is_wanted (Callable): Function from a layer to whether it is of the kind.

        Returns:
            dict[str, Layer]: The layers; at least one.

        Raises:
            UserError: If there are none.
        """
        named = self.module.named_modules() if isinstance(self.module, Backbone) else ()
        layers = {
            '.'.join(re.findall(r'\d+', name)): layer
            for name, layer in named
            if isinstance(layer, Layer) and is_wanted(layer)
        }
        if not layers:
            raise UserError(f'{self.name} has no {what}: give another --network')
        return layers


RANDOM = 'random weights'


def make_network(name: str, options: dict[str, Any] | None = None, device='cpu') -> Network:
    """Build a backbone to look at.

    Args:
        name (str): What `load_model` takes. Of a whole model, its backbone is taken.
        options (dict, optional): Arguments of the backbone, or settings of the
            config, and three of this function: ``checkpoint``, the file or URL of
            weights, of the backbone or of a model around it; ``label``, the name in
            pictures; ``mixers``, a pattern of the names of the token mixers.
            Default: None.
        device (torch.device or str): Device of the weights. Default: ``'cpu'``.

    Returns:
        Network: The backbone.

    Raises:
        UserError: If there is no such backbone, or the file has other weights.
    """
    options = dict(options or {})
    checkpoint, label = options.pop('checkpoint', None), options.pop('label', None)
    mixers = options.pop('mixers', None)
    model, _ = load_model(name, options)
    module = getattr(model, 'backbone', model)
    if label is None:
        label = ' '.join([name.rpartition('/')[2].removesuffix('.py'), *map(str, options.values())])
    if checkpoint is not None:
        _load(module, str(label), str(checkpoint))
    if mixers is None:
        names = [name for name, _ in module.named_modules()]
        mixers = next((p for p in _MIXERS if any(re.fullmatch(p, n) for n in names)), '')
    # not chained, because mmdet's method returns None
    module.eval()
    module.requires_grad_(False)
    return Network(str(label), module.to(device), checkpoint or RANDOM, str(mixers))


def _load(module, label, checkpoint):
    file = find_weights(load_checkpoint(checkpoint, 'cpu'))
    if isinstance(module, Backbone):
        prefixes = find_prefixes(file)
        prefix = prefixes[0] if len(prefixes) == 1 else ''
        PretrainedBackboneInit(checkpoint, prefix)(module)
        return
    if any(name.startswith('backbone.') for name in file):
        file = strip_prefix(file, 'backbone.')
    own = module.state_dict()
    given = {k: v for k, v in file.items() if k in own and v.shape == own[k].shape}
    # output norms are in no file of a classifier
    missing = [k for k, p in module.named_parameters() if p.ndim > 1 and k not in given]
    if missing:
        raise UserError(
            f'{checkpoint} lacks {len(missing)} tensors of {label}, {missing[0]} first: give a '
            "file of this backbone, with its library's names"
        )
    module.load_state_dict(given, strict=False)


@contextmanager
def watching(modules: dict[str, nn.Module], watch: Callable) -> Iterator[None]:
    """Call a function with what modules return, within this context.

    Args:
        modules (dict[str, nn.Module]): Modules by name.
        watch (Callable): Function of a name and an output.
    """
    hooks = [
        module.register_forward_hook(lambda _, args, output, name=name: watch(name, output))
        for name, module in modules.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
