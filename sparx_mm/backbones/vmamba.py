"""VMamba, https://arxiv.org/abs/2401.10166: a plain chain of selective scans."""

from ..registry import register_for_all
from ..state_dicts import VMAMBA
from .hierarchical import HierarchicalBackbone

_NORM = dict(type='LN2d')
_MIXER = dict(type='SS2D', d_conv=3, conv_bias=False, bias=False, norm=_NORM)
# the first release: a gate and 16 states in place of the FFN, patches in place
# of convolutions, which leave out what does not fill a patch
_V0 = dict(
    mixer=dict(d_state=16, gate=True, conv_bias=True),
    ffn=None,
    stem=dict(type='PatchEmbed', pad=False),
    downsample=dict(type='PatchMerging'),
)
_CHANNELS = (96, 192, 384, 768)
_BASE_CHANNELS = (128, 256, 512, 1024)


def _arch(embed_dims, depth, ssm_ratio=2):
    return dict(embed_dims=embed_dims, depths=(2, 2, depth, 2), mixer=dict(ssm_ratio=ssm_ratio))


def _v0(embed_dims, depth):
    return dict(_V0, embed_dims=embed_dims, depths=(2, 2, depth, 2))


@register_for_all
class VMamba(HierarchicalBackbone):
    """VMamba; its released models of 2024-05 and, as ``'-v0'``, of the first release.

    ``arch`` is ``'tiny'``, ``'small'`` or ``'base'``; ``'tiny-s2l5'``,
    ``'small-s1l20'`` or ``'base-s1l20'``, where ``sNlM`` is the authors' short
    form for N times as many scanned channels and M layers in stage 2;
    ``'tiny-v0'``, ``'small-v0'`` or ``'base-v0'``, whose images have at least
    4x4 pixels; or a dict that gives at least ``embed_dims`` and ``depths``. See
    `HierarchicalBackbone` for the arguments; ``norm_cfg`` is
    refused, because there is no batch norm.

    Example:
        >>> import torch
        >>> from sparx_mm import VMamba
        >>> maps = VMamba('tiny').eval()(torch.rand(1, 3, 64, 96))
        >>> [tuple(m.shape) for m in maps]  # doctest: +NORMALIZE_WHITESPACE
        [(1, 96, 16, 24), (1, 192, 8, 12), (1, 384, 4, 6), (1, 768, 2, 3)]
    """

    arch_zoo = {
        # s1l8, s2l15 and s2l15
        'tiny': _arch(_CHANNELS, 8, ssm_ratio=1),
        'small': _arch(_CHANNELS, 15),
        'base': _arch(_BASE_CHANNELS, 15),
        'tiny-s2l5': _arch(_CHANNELS, 5),
        'small-s1l20': _arch(_CHANNELS, 20, ssm_ratio=1),
        'base-s1l20': _arch(_BASE_CHANNELS, 20, ssm_ratio=1),
        'tiny-v0': _v0(_CHANNELS, 9),
        'small-v0': _v0(_CHANNELS, 27),
        'base-v0': _v0(_BASE_CHANNELS, 27),
    }
    arch_defaults = dict(
        mixer=_MIXER,
        projection=dict(type='LinearProjection', bias=False),
        ffn=dict(type='MLP'),
        norm=_NORM,
        out_norm=_NORM,
        stem=dict(type='ConvStem', bias=True, norm_cfg=_NORM),
        downsample=dict(type='ConvDownsample', bias=True, norm_cfg=_NORM),
        dpe=False,
        ffn_dpe=False,
        skip_scale=False,
        connections=None,
    )
    key_map = VMAMBA
    convolution_rule = 'torch'
