"""The backbone that every SparX network is: a stem and stages of layers."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..layers import Layer, LayerNorm2d, checkpoint_layer
from ..state_dicts import KeyMap, nest_classifier
from .connections import STAGE_INPUT, stage_connections
from .pretrained import PretrainedBackboneInit, split_init_cfg


class Stage(nn.Module):
    """The layers of one stage and what each of them reads.

    Args:
        layers (Sequence[Layer]): The layers.
        plans (Sequence[LayerPlan]): Their connections.
        with_cp (bool): Checkpoint activations while training.
            Default: False.
    """

    def __init__(self, layers: Sequence[Layer], plans: Sequence, with_cp: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.sources = [plan.sources for plan in plans]
        # of each layer: the maps that layers after it read
        self.kept = [
            {s for later in self.sources[i + 1 :] for s in later} for i in range(len(layers))
        ]
        self.with_cp = with_cp

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        maps = {STAGE_INPUT: x}
        for i, layer in enumerate(self.layers):
            read = [maps[source] for source in self.sources[i]]
            if self.with_cp and self.training and torch.is_grad_enabled():
                x = checkpoint_layer(layer, x, read)
            else:
                x = layer(x, read)
            maps[i] = x
            maps = {s: maps[s] for s in self.kept[i] if s in maps}
        return x


class HierarchicalBackbone(BaseModule):
    """Hierarchical backbone with sparse cross-layer connections.

    Paper section 3. A subclass supplies ``arch_zoo``, its variants as a
    table, and ``arch_defaults``, what they share. An arch has the keys

    - ``embed_dims`` (list[int]): Channels of each stage.
    - ``depths`` (list[int]): Layers of each stage.
    - ``strides`` (list[int]): Distance S of ganglion layers.
    - ``starts`` (list[int or None]): Lowest index of a ganglion layer;
      None: the stage has none.
    - ``windows`` (list[int or None]): Preceding ganglion layers read, M;
      None: all.
    - ``sources`` (str) and, of each stage, ``input_in_window`` (bool): see
      `sparx_mm.backbones.connections.stage_connections`.
    - ``reduction`` (list[int]): Spatial reduction r of the aggregators.
    - ``skip_scale`` (list[bool]): Scale and bias on the shortcuts.
    - ``dpe`` (bool): Position encoding at the start of each layer.
    - ``mixer``, ``aggregator``, ``projection``, ``ffn``, ``norm``, ``stem``,
      ``downsample`` (dict): Configs of the parts; ``projection`` is what a
      normal layer has in the place of an aggregator. Of a part without
      ``type``, or of the same one, only what is given changes.
    - ``base`` (str): Name of the variant that a dict changes.

    Args:
        arch (str or dict): Name of a variant, or a dict that overrides keys
            of ``arch_defaults``, or of ``base``:
            ``dict(base='tiny', mixer=dict(...))``.
        out_indices (Sequence[int]): Stages whose maps are returned; each
            gets an output norm. Stages after the last of them are not built.
            Default: (0, 1, 2, 3).
        drop_path_rate (float): Stochastic depth rate of the last layer; it
            grows linearly from 0 at the first. Default: 0.
        attn_scale (str): ``'length'`` or ``'learnable'``, see `DMCA`; the
            released detectors are ``'learnable'``, the classifiers and
            segmentors ``'length'``. Default: ``'length'``.
        out_norm (bool): Whether returned maps pass an output norm; the
            released classifiers have theirs in the head. Default: True.
        norm_cfg (dict): Config of the batch norms in stem, downsampling and
            aggregators. Default: ``dict(type='BN')``.
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

    Raises:
        ValueError: If an argument is not one of those above.
    """

    arch_zoo: dict[str, dict] = {}
    key_map: KeyMap = KeyMap('HierarchicalBackbone')
    # None: to be given
    arch_defaults: dict = dict(
        embed_dims=None,
        depths=None,
        strides=None,
        starts=None,
        windows=None,
        sources='window',
        input_in_window=(False, False, False, False),
        # 8 4 2 1 reduces each stage to about the tokens of the last
        reduction=(8, 4, 2, 1),
        aggregator=dict(type='DMCA'),
        projection=dict(type='LinearProjection'),
        mixer=None,
        ffn=None,
        norm=None,
        stem=None,
        downsample=None,
        dpe=None,
        skip_scale=None,
    )

    def __init__(
        self,
        arch: str | dict,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        drop_path_rate: float = 0.0,
        attn_scale: str = 'length',
        out_norm: bool = True,
        norm_cfg: dict = dict(type='BN'),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.arch = self._resolve_arch(arch)
        dims, depths = self.arch['embed_dims'], self.arch['depths']
        num_stages = len(depths)
        self.out_indices = _check_out_indices(out_indices, num_stages)
        if not -1 <= frozen_stages <= num_stages:
            raise ValueError(f'frozen_stages must be in [-1, {num_stages}], got {frozen_stages}')
        if not 0 <= drop_path_rate < 1:
            raise ValueError(f'drop_path_rate must be in [0, 1), got {drop_path_rate}')
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        # only what the returned maps need: no parameter goes unused
        num_stages = self.out_indices[-1] + 1

        self.stem = MODELS.build(dict(self.arch['stem'], dim=dims[0], norm_cfg=norm_cfg))
        self.downsamples = nn.ModuleList(
            MODELS.build(
                dict(
                    self.arch['downsample'], in_channels=dims[i], dim=dims[i + 1], norm_cfg=norm_cfg
                )
            )
            for i in range(num_stages - 1)
        )
        last = max(sum(depths) - 1, 1)
        rates = [drop_path_rate * i / last for i in range(sum(depths))]
        self.stages = nn.ModuleList(
            self._build_stage(i, rates[sum(depths[:i]) :], norm_cfg, attn_scale, with_cp)
            for i in range(num_stages)
        )
        self.norms = nn.ModuleDict(
            {
                str(i): LayerNorm2d(dims[i], eps=1e-6) if out_norm else nn.Identity()
                for i in self.out_indices
            }
        )
        self.apply(_init_linear)
        self._freeze_stages()

    @classmethod
    def _resolve_arch(cls, arch: str | dict) -> dict:
        if not isinstance(arch, dict):
            if not isinstance(arch, str) or arch not in cls.arch_zoo:
                raise ValueError(
                    f'arch {arch!r} of {cls.__name__} is unknown;'
                    f' use one of {sorted(cls.arch_zoo)} or a '
                    'dict'
                )
            arch = cls.arch_zoo[arch]
        given = deepcopy(dict(arch))
        base = given.pop('base', None)
        unknown = sorted(set(given) - set(cls.arch_defaults))
        if unknown:
            raise ValueError(
                f'arch keys {unknown} are unknown; allowed are '
                f'{sorted([*cls.arch_defaults, "base"])}'
            )
        arch = deepcopy(cls.arch_defaults)
        if base is not None:
            arch = cls._resolve_arch(base)
        arch = _merge(arch, given)
        missing = sorted(key for key, value in arch.items() if value is None)
        if missing:
            raise ValueError(
                f'arch keys {missing} are missing; give them, or '
                f'base={next(iter(cls.arch_zoo), "NAME")!r} for '
                'those of a named arch'
            )
        num_stages = len(arch['depths'])
        for key in (
            'embed_dims',
            'strides',
            'starts',
            'windows',
            'input_in_window',
            'reduction',
            'skip_scale',
        ):
            if len(arch[key]) != num_stages:
                raise ValueError(
                    f'arch key {key!r} needs one entry for each of the '
                    f'{num_stages} stages in depths, got {arch[key]}'
                    + ('' if key in given else ', which it has by default')
                )
        return arch

    def _build_stage(self, stage, rates, norm_cfg, attn_scale, with_cp):
        arch = self.arch
        plans = stage_connections(
            arch['depths'][stage],
            arch['strides'][stage],
            arch['starts'][stage],
            arch['windows'][stage],
            arch['sources'],
            arch['input_in_window'][stage],
        )
        layers = []
        for i, (plan, rate) in enumerate(zip(plans, rates)):
            proj = {
                'normal': arch['projection'],
                'ganglion': dict(
                    arch['aggregator'],
                    num_sources=len(plan.sources),
                    reduction=arch['reduction'][stage],
                    attn_scale=attn_scale,
                    norm_cfg=norm_cfg,
                ),
            }[plan.kind]
            layers.append(
                Layer(
                    dim=arch['embed_dims'][stage],
                    mixer=dict(arch['mixer'], stage=stage, layer=i),
                    proj=proj,
                    ffn=arch['ffn'],
                    norm=arch['norm'],
                    dpe=arch['dpe'],
                    skip_scale=arch['skip_scale'][stage],
                    drop_path_rate=rate,
                )
            )
        return Stage(layers, plans, with_cp)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Extract features.

        Args:
            x (Tensor): Images of shape (B, 3, H, W), any size from 1x1.

        Returns:
            tuple[Tensor]: For each stage i of ``out_indices`` a map of shape
            (B, C_i, H_i, W_i), with H_0 = ceil(H / 4) and
            H_i = ceil(H_{i-1} / 2).
        """
        if x.device.type == 'cpu':
            # the one change of layout, up to the output norms: torch's
            # depthwise convolutions take half the time in it, and the scan
            # reads it as it lies. On CUDA its GroupNorm would copy each map
            # back, so the layout stays the input's there, but for what
            # layer-norms positions: patches and their merging
            x = x.contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        outs = []
        for i, stage in enumerate(self.stages):
            if i > 0:
                x = self.downsamples[i - 1](x)
            x = stage(x)
            if i in self.out_indices:
                # Convolutions hand their memory format on, and mmcv's
                # operators (RoIAlign among them) read a channels-last map as
                # if it were contiguous, without an error: a detector would
                # train on scrambled features
                outs.append(self.norms[str(i)](x).contiguous())
        return tuple(outs)

    def train(self, mode: bool = True) -> 'HierarchicalBackbone':
        """Set training mode; frozen parts and kept norms stay in eval."""
        super().train(mode)
        if mode:
            for part in self._frozen_parts():
                part.eval()
            if self.norm_eval:
                for module in self.modules():
                    if isinstance(module, _BatchNorm):
                        module.eval()
        return self

    def _frozen_parts(self):
        if self.frozen_stages < 0:
            return []
        parts = [self.stem, *self.stages[: self.frozen_stages]]
        parts += self.downsamples[: max(self.frozen_stages - 1, 0)]
        parts += [self.norms[str(i)] for i in self.out_indices if i < self.frozen_stages]
        return parts

    def _freeze_stages(self):
        for part in self._frozen_parts():
            part.eval()
            part.requires_grad_(False)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter, for layer-wise learning rates.

        Args:
            param_name (str): Name of the parameter.
            prefix (str): What the backbone's names begin with, for example
                ``'backbone.'``. Default: ``''``.

        Returns:
            tuple[int, int]: Its depth (0 for the stem, 1 and up for the
            layers, the last for the output norms) and the number of depths.
            A downsampling has the depth of the layer after it; a name
            outside ``prefix`` has the last.
        """
        depths = self.arch['depths']
        num_depths = sum(depths) + 2
        if not param_name.startswith(prefix):
            return num_depths - 1, num_depths
        part, *rest = param_name[len(prefix) :].split('.')
        if part == 'stem':
            depth = 0
        elif part == 'downsamples':
            depth = 1 + sum(depths[: int(rest[0]) + 1])
        elif part == 'stages':
            depth = 1 + sum(depths[: int(rest[0])]) + int(rest[2])
        else:
            depth = num_depths - 1
        return depth, num_depths

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says; a file must cover the backbone.

        Raises:
            CoverageError: If a ``Pretrained`` file has fewer of this
                backbone's tensors than it should.
        """
        given = self.init_cfg
        others, files = split_init_cfg(given)
        # files last, as mmengine orders them
        self.init_cfg = others + [dict(cfg, type=PretrainedBackboneInit) for cfg in files]
        try:
            super().init_weights()
        finally:
            self.init_cfg = given

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        # in place, because the children are handed this very dict afterwards
        translated = self.key_map.to_own(state_dict, prefix)
        state_dict.clear()
        state_dict.update(translated)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @classmethod
    def _checkpoint_filter(cls, state_dict, *args):
        # in place, because mmpretrain's classifiers register this as a hook that
        # runs before they load a state dict
        nested = nest_classifier(state_dict, cls.key_map)
        state_dict.clear()
        state_dict.update(nested)


def _merge(arch, changes):
    """Put changes over an arch, those of a part of one type key by key."""
    merged = {**arch, **changes}
    for key, part in changes.items():
        below = arch.get(key)
        if (
            isinstance(part, dict)
            and isinstance(below, dict)
            and part.get('type', below['type']) == below['type']
        ):
            merged[key] = {**below, **part}
    return merged


def _check_out_indices(out_indices, num_stages):
    if isinstance(out_indices, int):
        raise ValueError(
            f'out_indices must be a sequence, got {out_indices}: give ({out_indices}, )'
        )
    out_indices = tuple(out_indices)
    in_range = all(i in range(num_stages) for i in out_indices)
    if not out_indices or not in_range or list(out_indices) != sorted(set(out_indices)):
        raise ValueError(
            f'out_indices must be ascending, distinct and in [0, {num_stages}), got {out_indices}'
        )
    return out_indices


def _init_linear(module):
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
