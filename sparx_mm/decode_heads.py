"""Decode heads of mmseg: the decoder of VM-UNet and CVMH-UNet.

Importing this module imports mmseg, in which it registers its classes; a config names it
in ``custom_imports``.
"""

import re
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import ModuleList

from .backbones import VMUNetEncoder
from .backbones.arch import resolve_arch, stage_arch
from .backbones.base import check_drop_path_rate, lay_out, share_norm_cfg
from .backbones.hierarchical import build_stage
from .backbones.pretrained import check_init_cfg, split_init_cfg
from .backbones.vmunet import names_in_vmamba
from .compat import torchvision_stub
from .errors import ConfigError
from .layers import PatchExpand, draw_weights
from .registry import build_part

# before mmseg imports it
torchvision_stub.install()

from mmseg.models.decode_heads.decode_head import BaseDecodeHead  # noqa: E402
from mmseg.registry import MODELS  # noqa: E402

# arguments of a BaseDecodeHead that this decoder has no use for, or sets itself
_OWN = ('channels', 'input_transform', 'conv_cfg', 'act_cfg')
_LAYER = re.compile(r'levels\.(\d+)\.(layers\..*)')


@MODELS.register_module()
class VMUNetHead(BaseDecodeHead):
    """Decoder of VM-UNet (https://arxiv.org/abs/2402.02491) and CVMH-UNet.

    The encoder's stages in reverse: each level has layers of the encoder's stage of as
    many channels, and all but the first begin with a patch expansion. The result of a
    level is joined with the map that the encoder's stage read (F4, F3, ...), while there
    are such maps: VM-UNet adds F4 to F2, CVMH-UNet joins F1 too. At the end the map is
    expanded to the size of the image, and classified. Logits of images that the encoder
    pads are cropped.

    No code of CVMH-UNet (https://arxiv.org/abs/2410.05624) is public. What is inferred is
    said in `MFMSFusion`, `CVSSMixer` and `EFFN`; beside these, that ``w`` weighs the
    encoder's map and ``1 - w`` the decoder's.

    Args:
        in_channels (Sequence[int]): Channels of the maps that are read: F1 to F4, or the
            last of them, and the encoder's last map.
        num_classes (int): Number of classes.
        arch (str or dict): Arch of the encoder, of which everything but the depths is the
            decoder's too; its channels double from stage to stage. Default: ``'tiny'``.
        depths (Sequence[int]): Number of layers of each level, the lowest resolution first.
            Default: (2, 2, 2, 1).
        fusion (dict): Config of what joins a map of the encoder with the decoder's, built
            with ``dim``: of type ``'Add'`` or ``'MFMS'``. Default: ``dict(type='Add')``.
        drop_path_rate (float): Stochastic depth rate of the first layer; it falls linearly
            to 0 at the last. Default: 0.
        with_cp (bool): Checkpoint the activations of each layer. Default: False.
        in_index (Sequence[int], optional): Maps of the encoder that are read. None: its last
            ones, as many as ``in_channels`` has. Default: None.
        norm_cfg (dict, optional): Config of the batch norms in fusions and FFNs that have
            them. None: ``type='BN'``. Default: None.
        dropout_ratio (float): Dropout before the classes. Default: 0.
        init_cfg (dict or list[dict], optional): mmengine initialisation config;
            ``dict(type='PretrainedVMamba', checkpoint=FILE)`` starts from a VMamba of the
            first release. A segmentor's file is loaded by ``load_from`` of the config, not
            here. Default: None.
        **kwargs: Other arguments of mmseg's ``BaseDecodeHead``.

    Raises:
        ConfigError: If channels and levels do not fit those of the arch, or an argument is
            none of those above.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        arch: str | dict = 'tiny',
        depths: Sequence[int] = (2, 2, 2, 1),
        fusion: dict = dict(type='Add'),
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        in_index: Sequence[int] | None = None,
        norm_cfg: dict | None = None,
        dropout_ratio: float = 0.0,
        init_cfg: dict | Sequence[dict] | None = None,
        **kwargs: Any,
    ) -> None:
        _check_given(kwargs, init_cfg)
        check_drop_path_rate(drop_path_rate)
        family = VMUNetEncoder
        arch = resolve_arch(arch, family.arch_zoo, family.arch_defaults, 'VMUNetHead')
        _check_norms(arch)
        dims = list(arch['embed_dims'][::-1])
        _check_channels(in_channels, dims)
        _check_depths(depths, len(dims))
        if in_index is None:
            in_index = range(-len(in_channels), 0)
        _check_index(in_index, in_channels)
        if not isinstance(fusion, dict):
            raise ConfigError(f"fusion must be a config, dict(type='Add'), got {fusion!r}")
        arch['ffn'], fusion = share_norm_cfg([arch['ffn'], fusion], norm_cfg, 'VMUNetHead')
        super().__init__(
            list(in_channels),
            # what a level has after the expansion by 4
            dims[-1] // 4,
            num_classes=num_classes,
            in_index=list(in_index),
            input_transform='multiple_select',
            dropout_ratio=dropout_ratio,
            norm_cfg=norm_cfg,
            init_cfg=init_cfg,
            **kwargs,
        )
        last = max(sum(depths) - 1, 1)
        rates = [drop_path_rate * (1 - i / last) for i in range(sum(depths))]
        self.levels = ModuleList()
        for level, depth in enumerate(depths):
            own = dict(stage_arch(arch, len(dims) - 1 - level), depths=depth)
            self.levels.append(build_stage(own, rates[sum(depths[:level]) :], with_cp))
        # numbered as the levels; the first has none
        self.expands = torch.nn.ModuleDict(
            {str(level): PatchExpand(dims[level - 1]) for level in range(1, len(dims))}
        )
        self.fusions = ModuleList(
            build_part(fusion, 'fusion', dim=dim) for dim in dims[: len(in_channels) - 1]
        )
        self.final_expand = PatchExpand(dims[-1], 4)
        for module in self.modules():
            draw_weights(module, family.convolution_rule)

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Decode.

        Args:
            inputs (Sequence[Tensor]): Maps of a `VMUNetEncoder`.

        Returns:
            Tensor: Logits of shape (B, num_classes, H, W), with the sides of the padded
            image.
        """
        *skips, x = map(lay_out, self._transform_inputs(inputs))
        for level, layers in enumerate(self.levels):
            if level:
                x = self.expands[str(level)](x)
            x = layers(x)
            if level < len(skips):
                x = self.fusions[level](x, skips[-1 - level])
        return self.cls_seg(self.final_expand(x))

    def loss_by_feat(self, seg_logits: torch.Tensor, batch_data_samples: list) -> dict:
        """Compute the losses; see mmseg's ``BaseDecodeHead``.

        Args:
            seg_logits (Tensor): Logits of the padded images, (B, num_classes, H', W').
            batch_data_samples (list[SegDataSample]): Label maps of one size.

        Returns:
            dict: The losses, and the accuracy.
        """
        size = batch_data_samples[0].gt_sem_seg.shape
        return super().loss_by_feat(self.fit_logits(seg_logits, size), batch_data_samples)

    def predict_by_feat(
        self, seg_logits: torch.Tensor, batch_img_metas: list[dict]
    ) -> torch.Tensor:
        """Give logits the size of their images; see mmseg's ``BaseDecodeHead``.

        Args:
            seg_logits (Tensor): Logits of the padded images, (B, num_classes, H', W').
            batch_img_metas (list[dict]): Facts about the images, of one size.

        Returns:
            Tensor: Logits of shape (B, num_classes, H, W).
        """
        meta = batch_img_metas[0]
        size = meta['img_shape']
        # a torch.Size is that of a window
        if not isinstance(size, torch.Size) and 'pad_shape' in meta:
            size = meta['pad_shape']
        return self.fit_logits(seg_logits, size[:2])

    @staticmethod
    def fit_logits(logits: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """Crop what the encoder padded an image by.

        Args:
            logits (Tensor): Of shape (B, C, H', W').
            size (Sequence[int]): Sides H and W of the image that the encoder was given.

        Returns:
            Tensor: Logits of shape (B, C, H, W).
        """
        return logits[..., : size[0], : size[1]]

    def vmamba_names(self) -> dict[str, str]:
        """Map names of parameters to those of VMamba's that they start from.

        As in VM-UNet's code, a level starts from VMamba's stage of as many channels.

        Returns:
            dict[str, str]: Names in a `VMamba` by own names.
        """
        last = len(self.levels) - 1
        of_encoder = {
            name: f'stages.{last - int(match[1])}.{match[2]}'
            for name, _ in self.named_parameters()
            if (match := _LAYER.fullmatch(name))
        }
        names = names_in_vmamba(of_encoder.values())
        return {own: names[name] for own, name in of_encoder.items() if name in names}


def _check_given(options, init_cfg):
    """Raise if an option would do nothing, or a file is loaded in part without a word."""
    others = sorted(set(options) & set(_OWN))
    if others:
        raise ConfigError(f'VMUNetHead takes no {others}: leave them out')
    check_init_cfg(init_cfg)
    _, files = split_init_cfg(init_cfg)
    if files:
        raise ConfigError(
            f"init_cfg of VMUNetHead takes no file of type 'Pretrained', got {files[0]}: give "
            "load_from=FILE of the config for a whole segmentor, or type='PretrainedVMamba'"
        )


def _check_norms(arch):
    for key in ('out_norm', 'trunk_norm'):
        given = arch[key] if isinstance(arch[key], (list, tuple)) else [arch[key]]
        if any(given):
            raise ConfigError(
                f'VMUNetHead has no norms behind its levels, got {key}={arch[key]}: leave it out '
                'of the arch'
            )


def _check_depths(depths, num_levels):
    if (
        not isinstance(depths, (list, tuple))
        or len(depths) != num_levels
        or not all(isinstance(depth, int) and depth > 0 for depth in depths)
    ):
        raise ConfigError(
            f'VMUNetHead needs depths for its {num_levels} levels, ints from 1, as many as the '
            f'arch has stages, got {depths!r}'
        )


def _check_channels(in_channels, dims):
    """Raise unless the maps are those of an encoder of these channels, the last stage's first."""
    if dims[-1] % 4 or any(below != 2 * above for below, above in zip(dims, dims[1:])):
        raise ConfigError(
            'VMUNetHead needs an arch whose embed_dims double from stage to stage, from a '
            f'multiple of 4, got {dims[::-1]}'
        )
    given = list(in_channels) if isinstance(in_channels, (list, tuple)) else in_channels
    expected = [*dims[::-1], dims[0]]
    lasts = [expected[-number:] for number in range(1, len(expected) + 1)]
    if given not in lasts:
        raise ConfigError(
            f'VMUNetHead reads maps of {expected} channels, all of them or the last of them, '
            f'got in_channels={given}: give those of the encoder, and the same arch to both'
        )


def _check_index(in_index, in_channels):
    is_sequence = isinstance(in_index, (list, tuple, range))
    if not is_sequence or len(in_index) != len(in_channels):
        raise ConfigError(
            f'VMUNetHead needs an in_index for each of its {len(in_channels)} in_channels, got '
            f'{in_index!r}: leave it out for the last maps'
        )
