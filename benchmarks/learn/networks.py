"""Small networks of about the same number of parameters, a row each.

A row is a function from a scale to the config of a backbone, all of whose channels grow
with the scale. `fit` finds the scale at which it has the parameters that are asked for;
what is left between two numbers of channels goes into the FFNs.
"""

import functools
import importlib
import json
import logging
from typing import NamedTuple

from mmengine.logging import MMLogger

from sparx_mm import backbones
from sparx_mm.analysis.complexity.counter import count_complexity
from sparx_mm.backbones.sparx_ablations import ABLATIONS
from sparx_mm.errors import UserError

# it reports how each layer starts, in every run
MMLogger.get_instance('mmengine').setLevel(logging.WARNING)

# part of the parameters that networks of one comparison may differ by
TOLERANCE = 0.03
# the tiny networks' with one layer less in the first stage
DEPTHS = (1, 2, 7, 2)
_HEADS = (1, 2, 4, 4)
# of the FFNs' widths, relative to those of the family
_STRETCHES = (0.8, 1.25)


def ours(family, shares, multiples=4, ffn_ratio=4, **changes):
    """Make a row of a network of this project.

    Args:
        family (str): Name of the class.
        shares (Sequence[float]): Channels of the stages relative to one another.
        multiples (int): Number that channels are multiples of. Default: 4.
        ffn_ratio (float or Sequence[float]): Channels of the FFNs over those of the
            stages. Default: 4.
        **changes: What else differs from the family's arch ``'tiny'``.

    Returns:
        Callable: Function from a scale and a stretch of the FFNs to a config.
    """

    def make(scale, stretch=1.0):
        dims = tuple(max(1, round(scale * share / multiples)) * multiples for share in shares)
        ratios = ffn_ratio if isinstance(ffn_ratio, tuple) else (ffn_ratio,) * len(shares)
        arch = dict(base='tiny', embed_dims=dims, depths=DEPTHS, **changes)
        arch['ffn'] = dict(ratio=tuple(ratio * stretch for ratio in ratios))
        return dict(type=family, arch=arch)

    return make


def _sparx(name=None, **changes):
    """Make a row of SparX-Mamba, or of one of the paper's variants with the same channels."""
    variant = {key: value for key, value in ABLATIONS.get(name, {}).items() if key != 'embed_dims'}
    return ours('SparXMamba', (3, 6, 10, 16), **variant, **changes)


def _scan(kind, **options):
    # without the convolution of SS2D, which SSM does not have
    return _sparx(mixer=dict(type=kind, d_state=1, **options))


def _swin(scale, stretch=1.0):
    return dict(
        type='mmpretrain.SwinTransformer',
        arch=dict(embed_dims=round(3 * scale), depths=[1, 2, 6, 2], num_heads=[1, 2, 4, 8]),
        window_size=4,
        pad_small_map=True,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.0,
        stage_cfgs=dict(block_cfgs=dict(ffn_ratio=4 * stretch)),
    )


def _convnext(scale, stretch=1.0):
    return dict(
        type='mmpretrain.ConvNeXt',
        arch=dict(depths=[1, 2, 9, 2], channels=[round(scale * s) for s in (3, 6, 12, 24)]),
        out_indices=(0, 1, 2, 3),
        gap_before_final_norm=False,
    )


def _resnet(scale, stretch=1.0):
    return dict(type='mmdet.ResNet', depth=18, base_channels=round(3 * scale), norm_eval=False)


def _plainmamba(scale, stretch=1.0):
    # four maps of one size, a sixteenth of the image's
    arch = dict(base='l1', embed_dims=2 * round(4 * scale), num_layers=12)
    return dict(type='PlainMamba', arch=arch)


_VSSD_MIXERS = tuple(dict(num_heads=heads, d_state=16) for heads in _HEADS[:3])

# functions from a scale to a config, by name
NETWORKS = {
    'SparX-Mamba': _sparx(),
    'SparX-Swin': ours('SparXSwin', (3, 6, 10, 18), mixer=dict(num_heads=_HEADS, window_size=4)),
    'VMamba': ours('VMamba', (3, 6, 12, 24), multiples=2),
    'VSSD': ours('VSSD', (2, 4, 8, 16), mixer=(*_VSSD_MIXERS, dict(num_heads=_HEADS[3]))),
    'GroupMamba': ours('GroupMamba', (2, 4, 11, 14), ffn_ratio=(8, 8, 4, 4), stem=dict(width=8)),
    'PlainMamba': _plainmamba,
    'Swin': _swin,
    'ConvNeXt': _convnext,
    'ResNet': _resnet,
    'PlainNet': _sparx('plainnet'),
    'DGC': _sparx('dgc'),
    'DSN': _sparx('dsn'),
    'S=1': _sparx('s1'),
    'S=3': _sparx('s3'),
    'M=2': _sparx('m2'),
    'M=4': _sparx('m4'),
    'Concat': _sparx('concat'),
    'no CGCA': _sparx('no-cgca'),
    'WeightedAverage': _sparx(connections=dict(aggregator=dict(type='WeightedAverage'))),
    'weighted inputs': _sparx(connections=None, inputs='weighted'),
    '1 direction': _scan('SSM'),
    '2 directions': _scan('BiSSM'),
    '4 directions': _scan('SS2D', d_conv=1),
}


class Fitted(NamedTuple):
    """Network of a certain number of parameters.

    Args:
        config (dict): Config of the backbone.
        parameters (int): Number of its parameters.
        macs (int): Multiply-adds of an image of 64x64.
    """

    config: dict
    parameters: int
    macs: int


def build(config):
    """Build a backbone.

    Args:
        config (dict): Config whose type is a class of ours, or that of a library
            such as ``'mmdet.ResNet'``.

    Returns:
        Module: The backbone, which maps images to a list of maps.
    """
    options = dict(config)
    library, _, name = options.pop('type').rpartition('.')
    classes = importlib.import_module(f'{library}.models') if library else backbones
    return getattr(classes, name)(**options)


def count_parameters(config):
    """Count the parameters of a backbone.

    Args:
        config (dict): Config, see `build`.
    """
    return sum(p.numel() for p in build(config).parameters())


def _bisect(count, target, low, high, steps):
    """Return the value of an interval at which a growing count is nearest to a target."""
    for _ in range(steps):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if count(middle) < target else (low, middle)
    return min(low, high, key=lambda value: abs(count(value) - target))


def fit(make, parameters):
    """Find the config of a row that has about as many parameters as asked for.

    Args:
        make (Callable): Value of ``NETWORKS``.
        parameters (int): Number of parameters.

    Returns:
        dict: The config that is nearest.
    """

    @functools.cache
    def count(config):
        return count_parameters(json.loads(config))

    def at(scale, stretch=1.0):
        return count(json.dumps(make(scale, stretch)))

    scale = _bisect(at, parameters, 1.0, 32.0, 9)
    stretch = _bisect(functools.partial(at, scale), parameters, *_STRETCHES, 6)
    return make(scale, min(1.0, stretch, key=lambda s: abs(at(scale, s) - parameters)))


def fit_all(names, parameters):
    """Fit networks to one number of parameters.

    Args:
        names (Iterable[str]): Keys of ``NETWORKS``.
        parameters (int): Number of parameters.

    Returns:
        dict[str, Fitted]: Networks by name.

    Raises:
        UserError: If none of a network's widths is near enough.
    """
    fitted = {}
    for name in names:
        config = fit(NETWORKS[name], parameters)
        network = build(config)
        number = sum(p.numel() for p in network.parameters())
        if abs(number - parameters) > TOLERANCE * parameters:
            raise UserError(
                f'{name} has {number:,} parameters at the nearest width, which is more than '
                f'{TOLERANCE:.0%} off {parameters:,}: choose another number with --parameters'
            )
        macs = count_complexity(network, (64, 64)).total().macs
        fitted[name] = Fitted(config, number, macs)
    return fitted
