"""Backbones without stages: a stem and layers that all keep the size of its map."""

import math
from collections.abc import Sequence
from functools import partial

from mmengine.model import ModuleDict, ModuleList
from torch import nn

from ..errors import ConfigError
from ..layers import ConvolvedLayer, Layer, build_norm, checkpoint_layer
from ..registry import build_part
from ..state_dicts import KeyMap
from .arch import complete_arch
from .base import Backbone, check_options, share_norm_cfg, take_channels
from .feature_info import FeatureInfo, resolve_out_indices
from .token_pruning import TokenPruning, mix_kept

# configs of parts, of which the last two may be None: they are left out
_PARTS = ('stem', 'mixer', 'projection', 'norm', 'ffn', 'out_norm')
_KEYS = ('embed_dims', 'num_layers', 'convolved_layers', *_PARTS)
# name of the norm after the last layer, whatever its number is
_LAST = 'last'


class PlainBackbone(Backbone):
    """Stem and layers, from a table of architectures.

    A family is a subclass that supplies ``arch_zoo``, its variants by name,
    ``arch_defaults``, what they share, and ``key_map``, the names of its
    released files. An arch has these keys:

    - ``embed_dims`` (int): Channels of all maps.
    - ``num_layers`` (int): Number of layers.
    - ``convolved_layers`` (Sequence[int]): Layers whose result passes a depthwise
      convolution, see `ConvolvedLayer`.
    - ``stem`` (dict): Config of what shrinks the image, built with ``dim``. Its
      attribute ``reduction`` says by how much.
    - ``mixer`` (dict): Config of the token mixer, built with ``dim``.
    - ``projection`` (dict): Config of what makes the mixer's input, built with
      ``dim`` and ``out_channels``.
    - ``norm`` (dict): Config of the norms in a layer.
    - ``ffn`` (dict, optional): Config of the FFN, built with ``dim``. None: the
      layers end after the mixer.
    - ``out_norm`` (dict, optional): Config of the norm of each returned map.
      None: maps are returned as they are.
    - ``base`` (str): Name of the variant that a dict changes.

    Of a config without ``type``, or of the same one, only what is given changes.

    Args:
        arch (str or dict): Name of a variant, or a dict that overrides keys
            of ``arch_defaults``, or of ``base``. Default: ``'l1'``.
        out_indices (int or Sequence[int], optional): Layers whose maps are returned, -1
            the last one; each gets an output norm. Layers after the last of them are
            not built. None: the last layer of each quarter. Default: None.
        drop_path_rate (float): Stochastic depth rate of the last layer; it
            grows linearly from 0 at the first. Default: 0.
        norm_cfg (dict, optional): Config of the batch norms in the stem, in FFNs that
            have them and after convolved layers. None: ``type='BN'``. Default: None.
        frozen_stages (int): Layers without gradients, which stay in eval
            mode. -1: none; 0: the stem; k: the stem and the first k layers.
            Default: -1.
        norm_eval (bool): Keep all batch norms in eval mode. Default: False.
        with_cp (bool): Checkpoint the activations of each layer: less
            memory, more time. Default: False.
        init_cfg (dict or list[dict], optional): mmengine initialisation
            config; ``dict(type='Pretrained', checkpoint=FILE, prefix=None)``
            also reads files with the released names. Default: None.
        in_channels (int, optional): Number of image channels. Files of RGB images
            are adapted to it when they are loaded. None: that of the arch's stem,
            3 unless it says otherwise. Default: None.
        pruning (dict, optional): Arguments of `TokenPruning`, which drops tokens after some
            of the layers: ``dict(layers=(5, 11), keep=0.7)``. Dropped tokens have their last
            value on maps that are returned. Default: None.

    Attributes:
        stem (nn.Module): Maps images to the map that the first layer reads, positions
            included.
        layers (ModuleList): The layers, each from (B, C, H, W) to the same shape.
        norms (ModuleDict): Norm of each returned map, by the number of its layer;
            that of the arch's last layer is called ``'last'``.
        feature_info (FeatureInfo): Channels and sizes of the maps, by timm's names.
        num_features (int): Channels of the last map.

    Raises:
        ConfigError: If an argument is not one of those above. It is a
            ValueError.
    """

    key_map = KeyMap('PlainBackbone')

    def __init__(
        self,
        arch: str | dict = 'l1',
        out_indices: int | Sequence[int] | None = None,
        drop_path_rate: float = 0.0,
        norm_cfg: dict | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
        in_channels: int | None = None,
        pruning: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.arch = _resolve_arch(arch, self.arch_zoo, self.arch_defaults, type(self).__name__)
        dim, num_layers = self.arch['embed_dims'], self.arch['num_layers']
        self.out_indices = _resolve_layers(out_indices, num_layers)
        check_options(frozen_stages, drop_path_rate, num_layers)
        convolved = [dict(type=ConvolvedLayer)] if self.arch['convolved_layers'] else []
        parts = [self.arch['stem'], self.arch['ffn'], *convolved]
        stem, ffn, *_ = share_norm_cfg(parts, norm_cfg, type(self).__name__)
        self.stem = build_part(take_channels(stem, in_channels), 'stem', dim=dim)
        # only what the returned maps need is built, so no parameter goes unused
        built = self.out_indices[-1] + 1
        rates = [drop_path_rate * i / max(num_layers - 1, 1) for i in range(built)]
        self.layers = ModuleList(
            _build_layer(dict(self.arch, ffn=ffn), i, rates[i], norm_cfg) for i in range(built)
        )
        norm = self.arch['out_norm']
        self.norms = ModuleDict(
            {
                self._norm_name(i): nn.Identity() if norm is None else build_norm(norm, dim)
                for i in self.out_indices
            }
        )
        reduction = getattr(self.stem, 'reduction', None)
        self.feature_info = FeatureInfo(
            [dim] * built,
            self.out_indices,
            [reduction] * built,
            [f'layers.{i}' for i in range(built)],
        )
        self.num_features = dim
        self.with_cp = with_cp
        self.pruning = _build_pruning(pruning, self.layers)
        self._finish(frozen_stages, norm_eval)

    @classmethod
    def map_channels(cls, arch='l1', out_indices=None):
        """Return channels and numbers of the maps; see `Backbone.map_channels`.

        Args:
            arch (str or dict): The backbone's argument. Default: ``'l1'``.
            out_indices (int or Sequence[int], optional): The backbone's argument.
                Default: None.
        """
        arch = _resolve_arch(arch, cls.arch_zoo, cls.arch_defaults, cls.__name__)
        layers = _resolve_layers(out_indices, arch['num_layers'])
        return [arch['embed_dims']] * len(layers), layers

    def _norm_name(self, layer: int) -> str:
        return _LAST if layer == self.arch['num_layers'] - 1 else str(layer)

    def _extract(self, x):
        x = self.stem(x)
        outs = []
        # places of the tokens that are left, and the last value of all; None: x is a map
        kept = whole = None
        for i, layer in enumerate(self.layers):
            drops = i in self.pruning.ratios
            if kept is None and not drops:
                x = self._run(layer, x)
            else:
                x, scanned = self._run(layer, x, mix=partial(mix_kept, kept=kept))
            if drops:
                class_position = getattr(self.stem, 'class_position', None)
                x, kept, whole = self.pruning.drop(i, x, scanned, kept, whole, class_position)
            if i in self.out_indices:
                out = x if kept is None else kept.scatter(x, whole)
                outs.append(self.norms[self._norm_name(i)](out))
        return outs

    def _run_layers(self, layers, x):
        """Run layers in a row."""
        for layer in layers:
            x = self._run(layer, x)
        return x

    def _run(self, layer, x, **options):
        return checkpoint_layer(layer, x, with_cp=self.with_cp and self.training, **options)

    def _iterate_layers(self):
        return self.layers

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Checkpoint the activations of each layer from now on, as ``with_cp`` does.

        Args:
            enable (bool): False: keep them. Default: True.
        """
        self.with_cp = enable

    def _frozen_parts(self):
        if self.frozen_stages < 0:
            return []
        frozen = [i for i in self.out_indices if i < self.frozen_stages]
        norms = [self.norms[self._norm_name(i)] for i in frozen]
        return [self.stem, *self.layers[: self.frozen_stages], *norms]

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the depth of a parameter, for layer-wise learning rates.

        Args:
            param_name (str): Name of the parameter.
            prefix (str): Start of the backbone's names, for example
                ``'backbone.'``. Default: ``''``.

        Returns:
            tuple[int, int]: Its depth (0 for the stem, 1 and up for the
            layers, the last for the output norms) and the number of depths;
            a name outside ``prefix`` has the last.
        """
        num_depths = len(self.layers) + 2
        depth = num_depths - 1
        if param_name.startswith(prefix):
            part, *rest = param_name[len(prefix) :].split('.')
            if part in ('stem', 'layers'):
                depth = 0 if part == 'stem' else 1 + int(rest[0])
        return depth, num_depths


def _resolve_layers(out_indices, num_layers):
    """Resolve the layers whose maps are returned; None is the last one of each quarter."""
    if out_indices is None:
        out_indices = sorted({math.ceil(num_layers * k / 4) - 1 for k in (1, 2, 3, 4)})
    return resolve_out_indices(out_indices, num_layers)


def _resolve_arch(arch, zoo, defaults, family):
    arch = complete_arch(arch, zoo, defaults, family, _KEYS)
    for key in ('embed_dims', 'num_layers'):
        if not isinstance(arch[key], int) or arch[key] < 1:
            raise ConfigError(
                f'arch key {key!r} of {family} must be an int from 1: it has no '
                f'stages, got {arch[key]!r}'
            )
    for key in _PARTS:
        if not isinstance(arch[key], dict) and (arch[key] is not None or key in _PARTS[:4]):
            raise ConfigError(f'arch key {key!r} must be a config, a dict, got {arch[key]!r}')
    convolved = arch['convolved_layers']
    if not isinstance(convolved, (list, tuple)) or not all(
        isinstance(i, int) and 0 <= i < arch['num_layers'] for i in convolved
    ):
        raise ConfigError(
            f"arch key 'convolved_layers' needs a sequence of numbers of layers, from 0 to "
            f'{arch["num_layers"] - 1}, got {convolved!r}'
        )
    return arch


def _build_pruning(given, layers):
    if given is not None and not isinstance(given, dict):
        raise ConfigError(f'pruning must be a dict of arguments of TokenPruning, got {given!r}')
    options = dict(dict(layers=()) if given is None else given, type=TokenPruning)
    pruning = build_part(options, 'pruning')
    pruning.check(layers)
    return pruning


def _build_layer(arch, index, rate, norm_cfg):
    is_convolved = index in arch['convolved_layers']
    own = dict(norm_cfg=norm_cfg) if is_convolved and norm_cfg else {}
    return (ConvolvedLayer if is_convolved else Layer)(
        dim=arch['embed_dims'],
        mixer=arch['mixer'],
        proj=arch['projection'],
        ffn=arch['ffn'],
        norm=arch['norm'],
        dpe=False,
        drop_path_rate=rate,
        **own,
    )
