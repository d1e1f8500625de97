"""Backbones with stages: a stem, and stages of layers."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule, ModuleDict, ModuleList
from torch import nn

from ..errors import ConfigError
from ..layers import Layer, build_norm, checkpoint_layer
from ..registry import build_part
from ..state_dicts import KeyMap
from .arch import layer_value, plan_inputs, plan_stage, resolve_arch, stage_arch
from .base import Backbone, check_options, share_norm_cfg, take_channels
from .connections import STAGE_INPUT
from .feature_info import FeatureInfo, resolve_out_indices

# of a stem that does not say by how much it shrinks an image
_REDUCTION = 4


class Stage(BaseModule):
    """Layers in a row, each of which may read earlier ones too.

    Args:
        layers (Sequence[Layer]): The layers.
        sources (Sequence[Sequence[int]]): By layer, the earlier layers that it reads, see
            `stage_connections`.
        with_cp (bool): Checkpoint activations while training.
            Default: False.
        inputs (Sequence[Sequence[int]], optional): By layer, the maps whose weighted
            sum it starts from, the last map last. None: each layer starts from the
            last map alone. Default: None.
        pair_skip (bool): Add the input of every two layers to their result.
            Default: False.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        sources: Sequence[Sequence[int]],
        with_cp: bool = False,
        inputs: Sequence[Sequence[int]] | None = None,
        pair_skip: bool = False,
    ) -> None:
        super().__init__()
        self.layers = ModuleList(layers)
        self.sources = list(sources)
        self.inputs = inputs or [()] * len(layers)
        # added[i]: map that is added after layer i, the second of a pair
        self.added = {i: i - 2 if i > 1 else STAGE_INPUT for i in range(1, len(layers), 2)}
        if not pair_skip:
            self.added = {}
        read = [{*a, *b} for a, b in zip(self.sources, self.inputs)]
        for i, source in self.added.items():
            read[i].add(source)
        # needed_later[i]: maps that layers after i still read, or that are added there
        self.needed_later = [set().union(*read[i + 1 :]) for i in range(len(layers))]
        self.with_cp = with_cp

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        maps = {STAGE_INPUT: x}
        for i, layer in enumerate(self.layers):
            read = [maps[source] for source in self.sources[i]]
            # the last one is x
            earlier = [maps[source] for source in self.inputs[i][:-1]]
            with_cp = self.with_cp and self.training
            x = checkpoint_layer(layer, x, read, earlier, with_cp=with_cp)
            if i in self.added:
                x = x + maps[self.added[i]]
            maps[i] = x
            maps = {s: maps[s] for s in self.needed_later[i] if s in maps}
        return x


class HierarchicalBackbone(Backbone):
    """Stem and stages of layers, from a table of architectures.

    A family is a subclass that supplies ``arch_zoo``, its variants by name,
    ``arch_defaults``, what they share, and ``key_map``, the names of its
    released files. An arch has these keys; each, and every option inside a
    config, may be one value or a sequence with one for each stage:

    - ``embed_dims`` (Sequence[int]): Channels of each stage.
    - ``depths`` (Sequence[int]): Number of layers of each stage.
    - ``mixer`` (dict): Config of the token mixer, built with ``dim``.
    - ``projection`` (dict): Config of what makes the mixer's input, built with
      ``dim`` and ``out_channels``.
    - ``ffn`` (dict, optional): Config of the FFN, built with ``dim``. None: the
      layers end after the mixer.
    - ``norm`` (dict): Config of the norms in a layer.
    - ``out_norm`` (dict, optional): Config of the norm of each returned map.
      None: maps are returned as they are.
    - ``trunk_norm`` (bool): Hand on each normed map to the next stage, so that all
      these norms are built.
    - ``stem``, ``downsample`` (dict): Configs of what shrinks the image and, at
      the start of each further stage, the map by 2. A stem's attribute ``reduction`` says
      by how much; by 4 if it has none.
    - ``dpe`` (bool): Start each layer with a position encoding.
    - ``ffn_dpe`` (bool): Put a position encoding before each FFN.
    - ``skip_scale`` (bool): Scale and shift the shortcuts per channel.
    - ``pair_skip`` (bool): Add the input of every two layers of a stage to their result.
    - ``connections`` (dict, optional): Which layers read earlier ones: the
      arguments of `stage_connections` (``strides``, ``starts``, ``windows``,
      ``sources``, ``input_in_window``) and ``aggregator``, the config of what
      takes the projection's place in such a layer, built with ``dim``,
      ``num_sources`` and ``out_channels``. None: a plain chain of layers.
    - ``inputs`` (str): ``'weighted'``: a layer starts from the sum of the stage's input
      and all earlier layers' outputs, each times a learned scalar, of 1 for the last
      one and 0 for the others at first. ``'last'``, the default: from the last one.
    - ``base`` (str): Name of the variant that a dict changes; that of a config is
      changed by ``--cfg-options model.backbone.arch.base=small``.

    Linear layers and convolutions of 1x1 start with truncated normal weights,
    all other convolutions by ``convolution_rule``, see `draw_weights`. A part
    that is a ``BaseModule`` of mmengine may start otherwise in its
    ``init_weights``.

    Of a config without ``type``, or of the same one, only what is given
    changes. ``dict(alternate=(a, b))`` in place of a value gives the layers of
    each stage ``a`` and ``b`` in turn.

    Args:
        arch (str or dict): Name of a variant, or a dict that overrides keys
            of ``arch_defaults``, or of ``base``:
            ``dict(base='tiny', mixer=dict(...))``. Default: ``'tiny'``.
        out_indices (int or Sequence[int]): Stages whose maps are returned, -1 the
            last one; each gets an output norm. Stages after the last of them are
            not built. Default: (0, 1, 2, 3).
        drop_path_rate (float): Stochastic depth rate of the last layer; it
            grows linearly from 0 at the first. Default: 0.
        norm_cfg (dict, optional): Config of the batch norms in stem,
            downsampling, FFNs and aggregators that have them. None: ``type='BN'``.
            Default: None.
        frozen_stages (int): Stages without gradients, which stay in eval
            mode. -1: none; 0: the stem; k: the stem and the first k stages.
            Default: -1.
        norm_eval (bool): Keep all batch norms in eval mode. Default: False.
        with_cp (bool): Checkpoint the activations of each layer: less
            memory, more time. Default: False.
        init_cfg (dict or list[dict], optional): mmengine initialisation
            config; ``dict(type='Pretrained', checkpoint=FILE, prefix=None)``
            also reads files with the released names, and
            ``dict(type='PretrainedSwin', checkpoint=FILE, prefix=None)``
            takes what a plain Swin shares. Default: None.
        in_channels (int, optional): Number of image channels. Files of RGB images
            are adapted to it when they are loaded. None: that of the arch's stem,
            3 unless it says otherwise. Default: None.

    Attributes:
        feature_info (FeatureInfo): Channels and sizes of the maps, by timm's names.
        num_features (int): Channels of the last map.

    Raises:
        ConfigError: If an argument is not one of those above. It is a
            ValueError.
    """

    key_map = KeyMap('HierarchicalBackbone')
    # True: what is returned of the stages in out_indices is what they read, and the map of
    # the last stage follows, so that all stages are built
    returns_inputs = False

    def __init__(
        self,
        arch: str | dict = 'tiny',
        out_indices: int | Sequence[int] = (0, 1, 2, 3),
        drop_path_rate: float = 0.0,
        norm_cfg: dict | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
        in_channels: int | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.arch = resolve_arch(arch, self.arch_zoo, self.arch_defaults, type(self).__name__)
        dims, depths = self.arch['embed_dims'], self.arch['depths']
        num_stages = len(depths)
        self.out_indices = resolve_out_indices(out_indices, num_stages)
        check_options(frozen_stages, drop_path_rate, num_stages)
        # only what the returned maps need is built, so no parameter goes unused
        if not self.returns_inputs:
            num_stages = self.out_indices[-1] + 1
        archs = [stage_arch(self.arch, i) for i in range(num_stages)]
        archs = _share_norm_cfg(archs, norm_cfg, type(self).__name__)
        if self.returns_inputs:
            _refuse_unused_norms(archs, type(self).__name__)
        archs[0]['stem'] = take_channels(archs[0]['stem'], in_channels)
        self.num_features = dims[num_stages - 1]

        self.stem = build_part(archs[0]['stem'], 'stem', dim=dims[0])
        self.feature_info = self._describe_maps(dims[:num_stages])
        self.downsamples = ModuleList(
            build_part(archs[i]['downsample'], 'downsample', in_channels=dims[i - 1], dim=dims[i])
            for i in range(1, num_stages)
        )
        last = max(sum(depths) - 1, 1)
        rates = [drop_path_rate * i / last for i in range(sum(depths))]
        self.stages = ModuleList(
            build_stage(archs[i], rates[sum(depths[:i]) :], with_cp) for i in range(num_stages)
        )
        self.norms = ModuleDict(
            {
                str(i): nn.Identity()
                if archs[i]['out_norm'] is None
                else build_norm(archs[i]['out_norm'], dims[i])
                for i in range(num_stages)
                if i in self.out_indices and not self.returns_inputs or archs[i]['trunk_norm']
            }
        )
        self._trunk_norms = [i for i in range(num_stages) if archs[i]['trunk_norm']]
        self._finish(frozen_stages, norm_eval)

    @classmethod
    def map_channels(cls, arch='tiny', out_indices=(0, 1, 2, 3)):
        """Return channels and numbers of the maps; see `Backbone.map_channels`.

        Args:
            arch (str or dict): The backbone's argument. Default: ``'tiny'``.
            out_indices (int or Sequence[int]): The backbone's argument.
                Default: (0, 1, 2, 3).
        """
        dims = resolve_arch(arch, cls.arch_zoo, cls.arch_defaults)['embed_dims']
        stages = resolve_out_indices(out_indices, len(dims))
        if not cls.returns_inputs:
            return [dims[i] for i in stages], stages
        return [*(dims[i] for i in stages), dims[-1]], (*stages, len(dims))

    def _describe_maps(self, dims):
        first = getattr(self.stem, 'reduction', _REDUCTION)
        reductions = [first * 2**i for i in range(len(dims))]
        if not self.returns_inputs:
            return FeatureInfo(dims, self.out_indices, reductions)
        last = len(dims) - 1
        return FeatureInfo(
            [*dims, dims[-1]],
            [*self.out_indices, last + 1],
            [*reductions, reductions[-1]],
            ['stem', *(f'downsamples.{i}' for i in range(last)), f'stages.{last}'],
        )

    def _extract(self, x):
        x = self.stem(x)
        outs = []
        for i, stage in enumerate(self.stages):
            if i > 0:
                x = self.downsamples[i - 1](x)
            read = x
            x = stage(x)
            out = self.norms[str(i)](x) if str(i) in self.norms else x
            if i in self._trunk_norms:
                x = out
            if i in self.out_indices:
                outs.append(read if self.returns_inputs else out)
        return [*outs, x] if self.returns_inputs else outs

    def _iterate_layers(self):
        return [layer for stage in self.stages for layer in stage.layers]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Checkpoint the activations of each layer from now on, as ``with_cp`` does.

        Args:
            enable (bool): False: keep them. Default: True.
        """
        for stage in self.stages:
            stage.with_cp = enable

    def _frozen_parts(self):
        if self.frozen_stages < 0:
            return []
        parts = [self.stem, *self.stages[: self.frozen_stages]]
        parts += self.downsamples[: max(self.frozen_stages - 1, 0)]
        parts += [norm for i, norm in self.norms.items() if int(i) < self.frozen_stages]
        return parts

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the depth of a parameter, for layer-wise learning rates.

        Args:
            param_name (str): Name of the parameter.
            prefix (str): Start of the backbone's names, for example
                ``'backbone.'``. Default: ``''``.

        Returns:
            tuple[int, int]: Its depth (0 for the stem, 1 and up for the
            layers, the last for the output norms) and the number of depths.
            A downsampling and a norm that a stage reads have the depth of the
            layer after them; a name outside ``prefix`` has the last.
        """
        # only of the stages that are built
        depths = self.arch['depths'][: len(self.stages)]
        num_depths = sum(depths) + 2
        if not param_name.startswith(prefix):
            return num_depths - 1, num_depths
        part, *rest = param_name[len(prefix) :].split('.')
        if part == 'stem':
            depth = 0
        elif part == 'downsamples' or self._is_read_on(part, rest):
            depth = 1 + sum(depths[: int(rest[0]) + 1])
        elif part == 'stages':
            depth = 1 + sum(depths[: int(rest[0])]) + int(rest[2])
        else:
            depth = num_depths - 1
        return depth, num_depths

    def _is_read_on(self, part, rest):
        """Return True for the norm of a map that a further stage reads."""
        is_trunk = part == 'norms' and int(rest[0]) in self._trunk_norms
        return is_trunk and int(rest[0]) < len(self.stages) - 1


def _refuse_unused_norms(archs, family):
    """Raise if a map that no output norm is for has one."""
    unused = [a['out_norm'] for a in archs if a['out_norm'] is not None and not a['trunk_norm']]
    if unused:
        raise ConfigError(
            f'{family} returns maps as its stages read them, without the out_norm {unused[0]} of '
            'the arch: leave it out, or give trunk_norm=True, so that stages read normed maps'
        )


def _share_norm_cfg(archs, norm_cfg, family):
    """Give stems, downsamplings, FFNs and aggregators of stages the backbone's ``norm_cfg``."""
    parts = [
        dict(
            stem=arch['stem'],
            downsample=arch['downsample'],
            ffn=arch['ffn'],
            connections=arch['connections'] and arch['connections']['aggregator'],
        )
        for arch in archs
    ]
    shared = []
    for arch, part in zip(archs, share_norm_cfg(parts, norm_cfg, family)):
        if part['connections'] is not None:
            part['connections'] = dict(arch['connections'], aggregator=part['connections'])
        shared.append({**arch, **part})
    return shared


def build_stage(arch: dict, rates: Sequence[float], with_cp: bool = False) -> Stage:
    """Build the layers of a stage from its own values of an arch.

    Args:
        arch (dict): From `stage_arch`.
        rates (Sequence[float]): Stochastic depth rate of each layer; further ones are
            not read.
        with_cp (bool): Checkpoint activations while training. Default: False.

    Returns:
        Stage: The layers with their connections.
    """
    sources, inputs, layers = plan_stage(arch), plan_inputs(arch), []
    for i, (read, rate) in enumerate(zip(sources, rates)):
        own = layer_value(arch, i)
        layers.append(
            Layer(
                dim=own['embed_dims'],
                mixer=own['mixer'],
                proj=own['connections']['aggregator'] if read else own['projection'],
                ffn=own['ffn'],
                norm=own['norm'],
                dpe=own['dpe'],
                ffn_dpe=own['ffn_dpe'],
                skip_scale=own['skip_scale'],
                drop_path_rate=rate,
                num_sources=len(read),
                num_inputs=len(inputs[i]),
            )
        )
    return Stage(layers, sources, with_cp, inputs, arch['pair_skip'])
