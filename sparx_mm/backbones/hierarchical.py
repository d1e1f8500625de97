"""The backbone that every network here is: a stem and stages of layers."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule, ModuleDict, ModuleList
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sparx_mm.kernels import uses_triton

from ..errors import ConfigError
from ..layers import Layer, build_norm, checkpoint_layer, draw_weights
from ..registry import build_part, takes_option
from ..state_dicts import KeyMap, nest_classifier
from .arch import layer_value, plan_stage, resolve_arch, stage_arch
from .connections import STAGE_INPUT, LayerPlan
from .feature_info import FeatureInfo, resolve_out_indices
from .finite_maps import FiniteMaps
from .pretrained import PretrainedBackboneInit, check_init_cfg, split_init_cfg


class Stage(BaseModule):
    """Layers in a row, each of which may read earlier ones too.

    Args:
        layers (Sequence[Layer]): The layers.
        plans (Sequence[LayerPlan]): Their connections.
        with_cp (bool): Checkpoint activations while training.
            Default: False.
    """

    def __init__(
        self, layers: Sequence[Layer], plans: Sequence[LayerPlan], with_cp: bool = False
    ) -> None:
        super().__init__()
        self.layers = ModuleList(layers)
        self.sources = [plan.sources for plan in plans]
        # needed_later[i]: maps that layers after i still read
        self.needed_later = [
            {source for later in self.sources[i + 1 :] for source in later}
            for i in range(len(layers))
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
            maps = {s: maps[s] for s in self.needed_later[i] if s in maps}
        return x


class HierarchicalBackbone(BaseModule):
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
      the start of each further stage, the map.
    - ``dpe`` (bool): Start each layer with a position encoding.
    - ``ffn_dpe`` (bool): Put a position encoding before each FFN.
    - ``skip_scale`` (bool): Scale and shift the shortcuts per channel.
    - ``connections`` (dict, optional): Which layers read earlier ones: the
      arguments of `stage_connections` (``strides``, ``starts``, ``windows``,
      ``sources``, ``input_in_window``) and ``aggregator``, the config of what
      takes the projection's place in such a layer, built with ``dim``,
      ``num_sources`` and ``out_channels``. None: a plain chain of layers.
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
            downsampling and aggregators that have them. None: ``type='BN'``.
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

    arch_zoo: dict[str, dict] = {}
    arch_defaults: dict = {}
    key_map: KeyMap = KeyMap('HierarchicalBackbone')
    # for convolutions of more than one position
    convolution_rule = 'trunc_normal'

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
        check_init_cfg(init_cfg)
        super().__init__(init_cfg=init_cfg)
        self.arch = resolve_arch(arch, self.arch_zoo, self.arch_defaults, type(self).__name__)
        dims, depths = self.arch['embed_dims'], self.arch['depths']
        num_stages = len(depths)
        self.out_indices = resolve_out_indices(out_indices, num_stages)
        if not isinstance(frozen_stages, int) or not -1 <= frozen_stages <= num_stages:
            raise ConfigError(
                f'frozen_stages must be an int in [-1, {num_stages}], got {frozen_stages!r}'
            )
        if not isinstance(drop_path_rate, (int, float)) or not 0 <= drop_path_rate < 1:
            raise ConfigError(f'drop_path_rate must be in [0, 1), got {drop_path_rate!r}')
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        # only what the returned maps need is built, so no parameter goes unused
        num_stages = self.out_indices[-1] + 1
        archs = [stage_arch(self.arch, i) for i in range(num_stages)]
        if norm_cfg is not None:
            archs = _share_norm_cfg(archs, norm_cfg, type(self).__name__)
        if in_channels is not None:
            archs[0]['stem'] = _take_channels(archs[0]['stem'], in_channels)
        self.feature_info = FeatureInfo(dims[:num_stages], self.out_indices)
        self.num_features = dims[num_stages - 1]

        self.stem = build_part(archs[0]['stem'], 'stem', dim=dims[0])
        self.downsamples = ModuleList(
            build_part(archs[i]['downsample'], 'downsample', in_channels=dims[i - 1], dim=dims[i])
            for i in range(1, num_stages)
        )
        last = max(sum(depths) - 1, 1)
        rates = [drop_path_rate * i / last for i in range(sum(depths))]
        self.stages = ModuleList(
            _build_stage(archs[i], rates[sum(depths[:i]) :], with_cp) for i in range(num_stages)
        )
        self.norms = ModuleDict(
            {
                str(i): nn.Identity()
                if archs[i]['out_norm'] is None
                else build_norm(archs[i]['out_norm'], dims[i])
                for i in range(num_stages)
                if i in self.out_indices or archs[i]['trunk_norm']
            }
        )
        self._trunk_norms = [i for i in range(num_stages) if archs[i]['trunk_norm']]
        self._finite_maps = FiniteMaps()
        for module in self.modules():
            draw_weights(module, self.convolution_rule)
        self._freeze_stages()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Extract features.

        Args:
            x (Tensor): Images of shape (B, 3, H, W), or as many channels as the
                stem takes; any size from 1x1 unless the stem says otherwise.

        Returns:
            tuple[Tensor]: For each stage i of ``out_indices`` a map of shape
            (B, C_i, H_i, W_i), with H_0 = ceil(H / 4), or floor where the stem
            does not pad, and H_i = ceil(H_{i-1} / 2). In eval mode, NaN or
            infinity in the last one is warned of once.

        Raises:
            ConfigError: If the images have another shape, or a number of channels
                that is not the stem's ``in_channels``.
        """
        _check_images(x, getattr(self.stem, 'in_channels', None))
        images = x
        if x.device.type == 'cpu' or uses_triton(x):
            # convert to channels-last once: the scan and the norms read it without a
            # copy, and on the CPU depthwise convolutions run about twice as fast. On
            # a GPU without our kernels torch's GroupNorm would copy each map back, so
            # the input's layout stays
            x = x.contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        outs = []
        for i, stage in enumerate(self.stages):
            if i > 0:
                x = self.downsamples[i - 1](x)
            x = stage(x)
            out = self.norms[str(i)](x) if str(i) in self.norms else x
            if i in self._trunk_norms:
                x = out
            if i in self.out_indices:
                # contiguous, because mmcv's operators (RoIAlign among them)
                # read a channels-last map as if it were contiguous, without an
                # error: a detector would train on scrambled features
                outs.append(out.contiguous())
        if not self.training:
            self._finite_maps.look(self, images, outs[-1])
        return tuple(outs)

    def compile(self, **kwargs) -> None:
        """Compile in place, layer by layer; see `Layer.compile`.

        Args:
            **kwargs: Arguments of `torch.compile`.
        """
        for stage in self.stages:
            for layer in stage.layers:
                layer.compile(**kwargs)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Checkpoint the activations of each layer from now on, as ``with_cp`` does.

        Args:
            enable (bool): False: keep them. Default: True.
        """
        for stage in self.stages:
            stage.with_cp = enable

    def train(self, mode: bool = True) -> 'HierarchicalBackbone':
        """Set training mode; frozen parts and kept norms stay in eval.

        Args:
            mode (bool): False: eval mode. Default: True.

        Returns:
            HierarchicalBackbone: The backbone itself.
        """
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
        parts += [norm for i, norm in self.norms.items() if int(i) < self.frozen_stages]
        return parts

    def _freeze_stages(self):
        for part in self._frozen_parts():
            part.eval()
            part.requires_grad_(False)

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

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says; a file must cover the backbone.

        Raises:
            CoverageError: If a ``Pretrained`` file has fewer of this
                backbone's tensors than it should.
        """
        given, files = self.init_cfg, []
        if not self.is_init:
            others, files = split_init_cfg(given)
            self.init_cfg = others
        try:
            super().init_weights()
        finally:
            self.init_cfg = given
        # files last, because parts may initialise themselves before
        for cfg in files:
            PretrainedBackboneInit(**{k: v for k, v in cfg.items() if k != 'type'})(self)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        # in place, because the children are handed this very dict afterwards
        translated = self.key_map.drop_derived(state_dict, prefix)
        translated = self.key_map.to_own(translated, prefix)
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


def _check_images(x, channels):
    if x.ndim != 4:
        raise ConfigError(f'images must have the shape (B, C, H, W), got {tuple(x.shape)}')
    # a stem of somebody else's need not say what it takes, and a tracer has no numbers
    if torch.jit.is_tracing() or channels in (None, x.shape[1]):
        return
    number, stack = f'{x.shape[1]} channels', ''
    if x.shape[1] == 1:
        number, stack = '1 channel', f' stack a gray array {channels} times,'
    raise ConfigError(
        f'got {number} of an image, and the stem takes {channels}: load images with '
        f"color_type='color',{stack} or give the backbone in_channels={x.shape[1]}"
    )


def _take_channels(stem, in_channels):
    """Give a stem's config the number of image channels."""
    if not isinstance(in_channels, int) or in_channels < 1:
        raise ConfigError(f'in_channels must be an int from 1, got {in_channels!r}')
    if not takes_option(stem, 'in_channels'):
        raise ConfigError(f'the stem {stem.get("type")!r} takes no in_channels: leave it out')
    if stem.get('in_channels', in_channels) != in_channels:
        raise ConfigError(
            f"in_channels is {in_channels}, and that of the arch's stem {stem['in_channels']}: "
            'leave one of them out'
        )
    return dict(stem, in_channels=in_channels)


def _share_norm_cfg(archs, norm_cfg, family):
    """Give the parts that take a ``norm_cfg`` and have none of their own the backbone's."""

    def share(value):
        if isinstance(value, (list, tuple)):
            return type(value)(map(share, value))
        if not isinstance(value, dict):
            return value
        value = {key: share(inner) for key, inner in value.items()}
        if takes_option(value, 'norm_cfg'):
            value.setdefault('norm_cfg', norm_cfg)
        return value

    shared = []
    for arch in archs:
        arch = dict(arch, stem=share(arch['stem']), downsample=share(arch['downsample']))
        if arch['connections'] is not None:
            aggregator = share(arch['connections']['aggregator'])
            arch['connections'] = dict(arch['connections'], aggregator=aggregator)
        shared.append(arch)
    if shared == archs:
        raise ConfigError(
            f'no part of this {family} takes a norm_cfg of the backbone, got {norm_cfg}: leave it '
            "out, or give a part's own in the arch"
        )
    return shared


def _build_stage(arch, rates, with_cp):
    """Build the layers of a stage from its own values of the arch."""
    plans, layers = plan_stage(arch), []
    for i, (plan, rate) in enumerate(zip(plans, rates)):
        own = layer_value(arch, i)
        layers.append(
            Layer(
                dim=own['embed_dims'],
                mixer=own['mixer'],
                proj=own['connections']['aggregator'] if plan.sources else own['projection'],
                ffn=own['ffn'],
                norm=own['norm'],
                dpe=own['dpe'],
                ffn_dpe=own['ffn_dpe'],
                skip_scale=own['skip_scale'],
                drop_path_rate=rate,
                num_sources=len(plan.sources),
            )
        )
    return Stage(layers, plans, with_cp)
