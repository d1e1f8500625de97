"""The encoders of two U-shaped segmentors on VMamba's first layers.

VM-UNet, https://arxiv.org/abs/2402.02491, and CVMH-UNet, https://arxiv.org/abs/2410.05624.
"""

from collections.abc import Iterable

from ..registry import register_for_all
from ..state_dicts import VMUNET
from .hierarchical import HierarchicalBackbone

_NORM = dict(type='LN2d')
# a VMamba's layer inside of a CVSSBlock
_INNER = '.mixer.scan.'
_SCAN = dict(d_state=16, d_conv=3, bias=False, gate=True, norm=_NORM)


@register_for_all
class VMUNetEncoder(HierarchicalBackbone):
    """Encoder of VM-UNet and CVMH-UNet; the decoder is `VMUNetHead`.

    ``arch`` is ``'tiny'``, VM-UNet with VMamba's first layers (VSSBlock), ``'tiny-cvss'``,
    CVMH-UNet with CVSSBlocks, or a dict that gives at least ``embed_dims`` and ``depths``.
    See `HierarchicalBackbone` for the arguments. The maps returned are the
    inputs of the stages in ``out_indices``, F1 to F4 in the papers, and then the map of the
    last stage. Images are padded with zeros at the bottom and the right to
    sides that are multiples of 32.

    No code of CVMH-UNet is public. Inferred, beside what `CVSSMixer` and `EFFN` say: a
    stage with an odd number of layers has no shortcut around its last one.

    Example:
        >>> import torch
        >>> from sparx_mm import VMUNetEncoder
        >>> maps = VMUNetEncoder('tiny').eval()(torch.rand(1, 3, 64, 90))
        >>> [tuple(m.shape) for m in maps]  # doctest: +NORMALIZE_WHITESPACE
        [(1, 96, 16, 24), (1, 192, 8, 12), (1, 384, 4, 6), (1, 768, 2, 3), (1, 768, 2, 3)]
    """

    arch_zoo = {
        'tiny': dict(embed_dims=(96, 192, 384, 768), depths=(2, 2, 2, 2)),
        'tiny-cvss': dict(
            base='tiny',
            mixer=dict(type='CVSSMixer', scan=dict(type='CS2D', **_SCAN), norm=_NORM),
            projection=dict(type='Identity'),
            ffn=dict(type='EFFN'),
            pair_skip=True,
        ),
    }
    arch_defaults = dict(
        mixer=dict(type='SS2D', **_SCAN),
        projection=dict(type='LinearProjection', bias=False),
        ffn=None,
        norm=_NORM,
        out_norm=None,
        stem=dict(type='PatchEmbed', pad=32),
        downsample=dict(type='PatchMerging'),
        dpe=False,
        ffn_dpe=False,
        skip_scale=False,
        connections=None,
    )
    key_map = VMUNET
    convolution_rule = 'torch'
    returns_inputs = True

    def vmamba_names(self) -> dict[str, str]:
        """Map names of parameters to those of VMamba's that they start from.

        Returns:
            dict[str, str]: Names in a `VMamba` by own names.
        """
        return names_in_vmamba(name for name, _ in self.named_parameters())


def names_in_vmamba(names: Iterable[str]) -> dict[str, str]:
    """Map an encoder's names to those of VMamba's.

    Args:
        names (Iterable[str]): Names in a `VMUNetEncoder`.

    Returns:
        dict[str, str]: Names in a `VMamba` by own names; those that no VMamba has are left
        out.

    Example:
        >>> names_in_vmamba(['stages.0.layers.1.mixer.scan.mixer.D'])
        {'stages.0.layers.1.mixer.scan.mixer.D': 'stages.0.layers.1.mixer.D'}
    """
    names = list(names)
    is_inside = any(_INNER in name for name in names)
    return {
        name: name.replace(_INNER, '.')
        for name in names
        if _INNER in name or not is_inside or '.layers.' not in name
    }
