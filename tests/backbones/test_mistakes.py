"""Wrong values in an arch or an init_cfg are a ConfigError that names the part and the value."""

import numpy as np
import pytest
import torch
from archs import PICO, PICO_PLAINMAMBA, PICO_SWIN
from mmengine.model import PretrainedInit
from torch import nn

from sparx_mm import VSSD, GroupMamba, PlainMamba, SparXMamba, SparXSwin
from sparx_mm.errors import ConfigError


class NoChannels(nn.Module):
    def __init__(self, dim):
        super().__init__()


class OwnStem(nn.Conv2d):
    def __init__(self, dim):
        super().__init__(3, dim, 4, 4)


@pytest.mark.parametrize(
    'changes,message',
    [
        (dict(ffn=dict(ratio=(4, 4, 4))), r"ffn ConvFFN cannot be built with {'ratio': \(4, 4, 4\)}"),
        (dict(mixer=dict(d_state='a')), "d_state must be an int from 1, got 'a'"),
        (dict(mixer=dict(ssm_ratio=(2, 2))), 'mixer SS2D cannot be built with'),
        (dict(mixer=dict(ssm_ratio=0)), 'ssm_ratio must leave a channel to scan, got 0 of 16 channels'),
        (dict(mixer=dict(d_conv=None)), r'd_conv of a mixer\) must be an odd int from 1, got None'),
        (dict(mixer=dict(type=NoChannels)), 'mixer NoChannels has no in_channels'),
        (dict(mixer=dict(type=None)), 'mixer needs a type that is registered, got None'),
        (dict(stem=dict(in_channels='3')), "stem ConvStem cannot be built with .*'in_channels': '3'"),
        (
            dict(mixer=dict(gate=(True, False, False))),
            r'gate of mixer SS2D must be True or False, got \(True, False, False\): .* each stage',
        ),
        (
            dict(mixer=dict(type='ShiftedWindowAttention', num_heads=2, shifted=[False, True])),
            r'shifted of .* got \[False, True\]: .* dict\(alternate=\(False, True\)\)',
        ),
        (dict(ffn=dict(shortcut='False')), "shortcut of ffn ConvFFN must be .* got 'False'"),
        (dict(depths=(1, True, 1, 1)), r"'depths' needs ints from 1, got \(1, True, 1, 1\)"),
        (dict(depths=3), "'depths' must be a sequence .* got 3"),
    ],
)  # fmt: skip
def test_archs(changes, message):
    with pytest.raises(ConfigError, match=message):
        SparXMamba({**PICO, **changes})


def test_a_part_without_a_type_has_that_of_its_family():
    dims = {key: PICO_SWIN[key] for key in ('embed_dims', 'depths', 'mixer')}
    SparXSwin(dims)
    with pytest.raises(ConfigError, match=r"ShiftedWindowAttention needs \['num_heads'\]"):
        SparXSwin(dict(dims, mixer=dict(window_size=2)))


@pytest.mark.parametrize(
    'family, needed',
    [
        (
            SparXMamba,
            dict(
                skip_scale=False,
                connections=dict(starts=0, aggregator=dict(reduction=(4, 2, 1))),
            ),
        ),
        (
            SparXSwin,
            dict(
                mixer=dict(num_heads=2),
                connections=dict(starts=0, aggregator=dict(reduction=1)),
            ),
        ),
        (GroupMamba, dict(ffn=dict(ratio=(8, 8, 4)))),
        (VSSD, dict(mixer=(dict(type='NonCausalSSD', num_heads=2),) * 3)),
    ],
)
def test_what_another_number_of_stages_needs(family, needed):
    arch = dict(embed_dims=(16, 24, 32), depths=(1, 1, 2))
    family({**arch, **needed}, out_indices=(0, 1, 2))


@pytest.mark.parametrize(
    'arguments,message',
    [
        (dict(drop_path_rate='0.1'), r"drop_path_rate must be in \[0, 1\), got '0.1'"),
        (dict(out_indices='x'), "out_indices must be an int or a sequence of ints, got 'x'"),
        (dict(out_indices=None), 'out_indices must be an int or a sequence of ints, got None'),
        (dict(out_indices=[1.0]), r'out_indices must be an int .* got \[1.0\]'),
        (dict(out_indices=(True,)), r'out_indices must be an int .* got \(True,\)'),
        (dict(out_indices=True), 'out_indices must be an int .* got True'),
        (dict(frozen_stages=True), 'frozen_stages must be an int in .* got True'),
        (dict(in_channels=True), 'in_channels must be an int from 1, got True'),
        (dict(frozen_stages='a'), "frozen_stages must be an int in .* got 'a'"),
        (dict(frozen_stages=1.5), 'frozen_stages must be an int in .* got 1.5'),
        (dict(in_channels='3'), "in_channels must be an int from 1, got '3'"),
        (
            dict(in_channels=4, arch=dict(PICO, stem=dict(in_channels=1))),
            "in_channels is 4, and that of the arch's stem 1: leave one of them out",
        ),
        (
            dict(in_channels=4, arch=dict(PICO, stem=dict(type=OwnStem))),
            'takes no in_channels: leave it out',
        ),
        (
            dict(init_cfg='a.pth'),
            r"got 'a.pth': give dict\(type='Pretrained', checkpoint='a.pth'\)",
        ),
        (dict(init_cfg=3), "init_cfg must be a dict with a 'type', or a list of them, got 3"),
        (dict(init_cfg=dict(checkpoint='a.pth')), "init_cfg must be a dict with a 'type'"),
        (dict(init_cfg=dict(type='Pretrained')), 'needs checkpoint=FILE'),
        (dict(init_cfg=[dict(type='PretrainedSwin', checkpoint=3)]), 'needs checkpoint=FILE'),
        (dict(init_cfg=dict(type='mmengine.Pretrained')), 'needs checkpoint=FILE'),
        (
            dict(init_cfg=dict(type='sparx_mm.backbones.pretrained.PretrainedSwinInit')),
            'needs checkpoint=FILE',
        ),
        (
            dict(init_cfg=dict(type='Pretrained', checkpoint='a.pth', prefix=1)),
            "'prefix': 1} needs a str as prefix",
        ),
        (
            dict(init_cfg=dict(type=PretrainedInit, checkpoint='a.pth', strict=True)),
            "has no option 'strict'; it has checkpoint, prefix, map_location",
        ),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        SparXMamba(**dict(dict(arch=PICO), **arguments))


@pytest.mark.tries('an image of another number of channels')
@pytest.mark.parametrize(
    'shape,message',
    [
        (
            (2, 1, 32, 32),
            'got 1 channel of an image, and the stem takes 3: load images with color_',
        ),
        ((1, 4, 32, 32), 'got 4 channels .* or give the backbone in_channels=4'),
        ((3, 32, 32), r'images must have the shape \(B, C, H, W\), got \(3, 32, 32\)'),
    ],
)
@pytest.mark.parametrize('family,arch', [(SparXMamba, PICO), (SparXSwin, PICO_SWIN)])
def test_images(family, arch, shape, message):
    with pytest.raises(ConfigError, match=message):
        family(arch)(torch.zeros(shape))


@pytest.mark.parametrize(
    'images,message',
    [
        ([torch.zeros(3, 32, 32)], 'must be a tensor of shape .*, got list: make it by torch.stack'),
        (np.zeros((1, 3, 32, 32), 'f'), 'got ndarray: .* torch.from_numpy of an array'),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), 'must be floats, got torch.uint8: give x.float'),
        (torch.zeros(1, 3, 0, 32), r'a height and a width from 1, got \(1, 3, 0, 32\)'),
        (torch.zeros(1, 3, 32, 0), r'a height and a width from 1, got \(1, 3, 32, 0\)'),
    ],
)  # fmt: skip
@pytest.mark.parametrize('family,arch', [(SparXMamba, PICO), (PlainMamba, PICO_PLAINMAMBA)])
def test_what_is_no_image(family, arch, images, message):
    with pytest.raises(ConfigError, match=message):
        family(arch)(images)


class TakesBytes(nn.Module):
    """A stem that normalises, and does not say how many channels it takes."""

    def __init__(self, dim):
        super().__init__()
        self.conv = nn.Conv2d(3, dim, 4, 4)

    def forward(self, x):
        return self.conv(x / 255)


def test_a_stem_that_takes_other_images():
    model = SparXMamba(dict(PICO, stem=dict(type=TakesBytes))).eval()
    assert len(model(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))) == 4


@pytest.mark.parametrize(
    'options', [dict(in_channels=1), dict(arch=dict(PICO, stem=dict(in_channels=1)))]
)
def test_images_of_as_many_channels_as_the_stem_takes(options):
    model = SparXMamba(**dict(dict(arch=PICO), **options)).eval()
    assert len(model(torch.zeros(1, 1, 32, 32))) == 4
