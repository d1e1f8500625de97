"""The neck of the classifiers against the released head."""

import warnings

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from sparx_mm.errors import ConfigError
from sparx_mm.necks import NormPooling

pytestmark = pytest.mark.stack


def _neck(**kwargs):
    """A neck whose norm is not the identity."""
    neck = MODELS.build(dict(type='NormPooling', in_channels=6, **kwargs))
    generator = torch.Generator().manual_seed(0)
    for parameter in neck.parameters():
        nn.init.uniform_(parameter, generator=generator)
    return neck


@pytest.mark.parametrize('size', [(1, 1), (7, 7), (3, 5)])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_it_is_the_released_head(size, layout):
    neck = _neck().double()
    released = nn.Sequential(nn.GroupNorm(1, 6), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    released[0].load_state_dict(neck.norm.state_dict())
    x = torch.rand(2, 6, *size, dtype=torch.double)
    x = x.to(memory_format=layout)
    (pooled,) = neck((x,))
    assert pooled.shape == (2, 6)
    torch.testing.assert_close(pooled, released(x))


def test_maps_of_a_backbone():
    neck = _neck()
    last = torch.rand(1, 6, 2, 2)
    (expected,) = neck(last)
    # the last of several, in a tuple or a list
    for maps in ((torch.rand(1, 3, 4, 4), last), [last]):
        assert neck(maps)[0].equal(expected)


def test_another_norm():
    assert isinstance(_neck(norm_cfg=dict(type='BN')).norm, nn.BatchNorm2d)
    with pytest.raises(ValueError, match='norm_cfg'):
        NormPooling(6, norm_cfg=dict(num_groups=1))
    with pytest.raises(ConfigError, match='cannot be built for 30 channels'):
        NormPooling(30, norm_cfg=dict(type='GN', num_groups=7))


@pytest.mark.parametrize('norm', ['GN', 'LN2d', 'BN'])
def test_a_map_of_other_channels(norm):
    neck = _neck(norm_cfg=dict(type=norm, **(dict(num_groups=1) if norm == 'GN' else {})))
    with pytest.raises(ConfigError, match='NormPooling has in_channels=6, .* give in_channels=8'):
        neck((torch.rand(1, 6, 4, 4), torch.rand(1, 8, 2, 2)))


def test_it_is_traced():
    neck, x = _neck(norm_cfg=dict(type='BN')).eval(), torch.rand(1, 6, 2, 2)
    with warnings.catch_warnings():
        # torch's of a number that is taken from a tensor
        warnings.simplefilter('error', torch.jit.TracerWarning)
        traced = torch.jit.trace(neck, x)
    (pooled,) = traced(torch.cat([x, x]))
    torch.testing.assert_close(pooled, neck(torch.cat([x, x]))[0])


def test_bfloat16_and_no_data():
    x = torch.rand(1, 6, 3, 3, dtype=torch.bfloat16)
    assert _neck().bfloat16()(x)[0].dtype == torch.bfloat16
    assert NormPooling(6).to('meta')(x.to('meta'))[0].shape == (1, 6)
