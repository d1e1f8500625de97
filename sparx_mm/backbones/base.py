"""What all backbones of this package do, whatever their layers are."""

from collections.abc import Iterable, Sequence

import torch
from mmengine.model import BaseModule
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sparx_mm.kernels import uses_triton

from ..errors import ConfigError
from ..layers import Layer, draw_weights
from ..registry import takes_option
from ..state_dicts import KeyMap, nest_model
from .finite_maps import FiniteMaps
from .pretrained import PretrainedBackboneInit, check_init_cfg, split_init_cfg


class Backbone(BaseModule):
    """A stem and layers: first weights, frozen parts, loading, and a look at the maps.

    A subclass builds its parts, ``stem`` among them, calls `_finish` at the end of its
    ``__init__``, and has the methods that raise NotImplementedError here.

    Args:
        init_cfg (dict or list[dict], optional): mmengine initialisation config.
            Default: None.

    Raises:
        ConfigError: If ``init_cfg`` lacks what every one needs.
    """

    arch_zoo: dict[str, dict] = {}
    arch_defaults: dict = {}
    key_map: KeyMap = KeyMap('Backbone')
    # for convolutions of more than one position
    convolution_rule = 'trunc_normal'

    def __init__(self, init_cfg: dict | list[dict] | None = None) -> None:
        check_init_cfg(init_cfg)
        super().__init__(init_cfg=init_cfg)
        self._finite_maps = FiniteMaps()

    def _finish(self, frozen_stages: int, norm_eval: bool) -> None:
        """Draw the weights of the parts and freeze the first ones."""
        self.frozen_stages, self.norm_eval = frozen_stages, norm_eval
        for module in self.modules():
            draw_weights(module, self.convolution_rule)
        for part in self._frozen_parts():
            part.requires_grad_(False)
        self._keep_eval()

    def _keep_eval(self) -> None:
        """Set frozen parts to eval mode, and the batch norms that stay in it."""
        for part in self._frozen_parts():
            part.eval()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    @classmethod
    def map_channels(
        cls, arch: str | dict, out_indices: int | Sequence[int] | None = None
    ) -> tuple[list[int], tuple[int, ...]]:
        """Return the channels of the maps of an arch, without building it.

        Args:
            arch (str or dict): The backbone's argument.
            out_indices (int or Sequence[int], optional): The backbone's argument.
                Default: the backbone's.

        Returns:
            tuple[list[int], tuple[int, ...]]: Channels of each map, and the numbers of the
            stages or layers that they are of.

        Raises:
            ConfigError: If the backbone would refuse one of them.
        """
        raise NotImplementedError

    def _extract(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        """Map images to the maps that are returned."""
        raise NotImplementedError

    def _iterate_layers(self) -> Iterable[Layer]:
        """Return all layers in order."""
        raise NotImplementedError

    def _frozen_parts(self) -> Sequence[nn.Module]:
        """Return the parts that ``frozen_stages`` freezes."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Extract features.

        Args:
            x (Tensor): Images of shape (B, 3, H, W), or as many channels as the
                stem takes; any size from 1x1 unless the stem says otherwise.

        Returns:
            tuple[Tensor]: A map of shape (B, C_i, H_i, W_i) for each i of
            ``out_indices``, contiguous; see ``feature_info`` for channels and strides. In
            eval mode, NaN or infinity in the last one is warned of once.

        Raises:
            ConfigError: If the images are no tensor of floats, have another shape, or a
                number of channels that is not the stem's ``in_channels``.
        """
        _check_images(x, getattr(self.stem, 'in_channels', None))
        images = x
        # contiguous, because mmcv's operators (RoIAlign among them) read a
        # channels-last map as if it were contiguous, without an error: a detector
        # would train on scrambled features
        outs = tuple(out.contiguous() for out in self._extract(lay_out(x)))
        if not self.training:
            self._finite_maps.look(self, images, outs[-1])
        return outs

    def compile(self, **kwargs) -> None:
        """Compile in place, layer by layer; see `Layer.compile`.

        Args:
            **kwargs: Arguments of `torch.compile`.
        """
        for layer in self._iterate_layers():
            layer.compile(**kwargs)

    def train(self, mode: bool = True) -> 'Backbone':
        """Set training mode; frozen parts and kept norms stay in eval.

        Args:
            mode (bool): False: eval mode. Default: True.

        Returns:
            Backbone: The backbone itself.
        """
        super().train(mode)
        if mode:
            self._keep_eval()
        return self

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says; a file must cover the backbone.

        Raises:
            CoverageError: If a ``Pretrained`` file has fewer of this
                backbone's tensors than it should.
        """
        given, self._files = self.init_cfg, []
        is_outermost = not hasattr(self, '_params_init_info')
        if not self.is_init:
            self.init_cfg, self._files = split_init_cfg(given)
        try:
            super().init_weights()
        except BaseException:
            # mmengine's record, by which it tells an outermost module, and which it leaves there
            for module in self.modules() if is_outermost else ():
                vars(module).pop('_params_init_info', None)
            raise
        finally:
            self.init_cfg = given
        # files last, because parts may initialise themselves before
        self._load_files()

    def _dump_init_info(self) -> None:
        # of a backbone without a model around it, before its init_weights returns: what is
        # logged of each tensor is to be what the files made of it
        self._load_files()
        super()._dump_init_info()

    def _load_files(self) -> None:
        while self._files:
            cfg = self._files.pop(0)
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
        nested = nest_model(state_dict, cls.key_map)
        state_dict.clear()
        state_dict.update(nested)


def lay_out(x: torch.Tensor) -> torch.Tensor:
    """Return a map in the memory format that layers are fast in.

    Channels-last, once: the scan and the norms read it without a copy, and on the CPU
    depthwise convolutions run about twice as fast. On a GPU without our kernels torch's
    GroupNorm would copy each map back, so the input's layout stays.

    Args:
        x (Tensor): Map or images of shape (B, C, H, W).

    Returns:
        Tensor: The same values.
    """
    if x.device.type == 'cpu' or uses_triton(x):
        return x.contiguous(memory_format=torch.channels_last)
    return x


def check_options(frozen_stages: int, drop_path_rate: float, num_stages: int) -> None:
    """Check arguments that every backbone has.

    Args:
        frozen_stages (int): Number of frozen stages or layers behind a frozen stem.
        drop_path_rate (float): Stochastic depth rate of the last layer.
        num_stages (int): Number of stages, or of layers of a backbone without any.

    Raises:
        ConfigError: If one is out of its range.
    """
    # not isinstance, by which True is an int
    if type(frozen_stages) is not int or not -1 <= frozen_stages <= num_stages:
        raise ConfigError(
            f'frozen_stages must be an int in [-1, {num_stages}], got {frozen_stages!r}'
        )
    check_drop_path_rate(drop_path_rate)


def check_drop_path_rate(drop_path_rate: float) -> None:
    """Check a stochastic depth rate.

    Args:
        drop_path_rate (float): The highest rate of a backbone or a head.

    Raises:
        ConfigError: If it is out of its range.
    """
    if not isinstance(drop_path_rate, (int, float)) or not 0 <= drop_path_rate < 1:
        raise ConfigError(f'drop_path_rate must be in [0, 1), got {drop_path_rate!r}')


def take_channels(stem: dict, in_channels: int | None) -> dict:
    """Give a stem's config the number of image channels.

    Args:
        stem (dict): The config.
        in_channels (int, optional): The number; None leaves the config as it is.

    Returns:
        dict: The config of the stem to build.

    Raises:
        ConfigError: If the number is no int from 1, if the stem takes none, or has another.
    """
    if in_channels is None:
        return stem
    if type(in_channels) is not int or in_channels < 1:
        raise ConfigError(f'in_channels must be an int from 1, got {in_channels!r}')
    if not takes_option(stem, 'in_channels'):
        raise ConfigError(f'the stem {stem.get("type")!r} takes no in_channels: leave it out')
    if stem.get('in_channels', in_channels) != in_channels:
        raise ConfigError(
            f"in_channels is {in_channels}, and that of the arch's stem {stem['in_channels']}: "
            'leave one of them out'
        )
    return dict(stem, in_channels=in_channels)


def share_norm_cfg(parts: Sequence[dict], norm_cfg: dict | None, family: str) -> list[dict]:
    """Give parts that take a ``norm_cfg`` and have none of their own the backbone's.

    Args:
        parts (Sequence[dict]): Configs; those of parts within them are found too.
        norm_cfg (dict, optional): The backbone's; None leaves the configs as they are.
        family (str): Name of the backbone, for the message.

    Returns:
        list[dict]: The configs of the parts to build.

    Raises:
        ConfigError: If no part takes one.
    """
    if norm_cfg is None:
        return list(parts)

    def share(value):
        if isinstance(value, (list, tuple)):
            return type(value)(map(share, value))
        if not isinstance(value, dict):
            return value
        value = {key: share(inner) for key, inner in value.items()}
        if takes_option(value, 'norm_cfg'):
            value.setdefault('norm_cfg', norm_cfg)
        return value

    shared = [share(part) for part in parts]
    if shared == list(parts):
        raise ConfigError(
            f'no part of this {family} takes a norm_cfg of the backbone, got {norm_cfg}: leave it '
            "out, or give a part's own in the arch"
        )
    return shared


def _check_images(x, channels):
    if not isinstance(x, torch.Tensor):
        raise ConfigError(
            f'images must be a tensor of shape (B, C, H, W), got {type(x).__name__}: make it by '
            'torch.stack of a list, or torch.from_numpy of an array'
        )
    if x.ndim != 4:
        raise ConfigError(f'images must have the shape (B, C, H, W), got {tuple(x.shape)}')
    # a tracer has no numbers
    if torch.jit.is_tracing():
        return
    if 0 in x.shape[2:]:
        raise ConfigError(f'images must have a height and a width from 1, got {tuple(x.shape)}')
    # a stem of somebody else's need not say what it takes
    if channels is None:
        return
    if not x.is_floating_point():
        raise ConfigError(
            f'images must be floats, got {x.dtype}: give x.float(), normalised as in training'
        )
    if channels != x.shape[1]:
        _refuse_channels(x.shape[1], channels)


def _refuse_channels(given, channels):
    number, stack = f'{given} channels', ''
    if given == 1:
        number, stack = '1 channel', f' stack a gray array {channels} times,'
    raise ConfigError(
        f'got {number} of an image, and the stem takes {channels}: load images with '
        f"color_type='color',{stack} or give the backbone in_channels={given}"
    )
