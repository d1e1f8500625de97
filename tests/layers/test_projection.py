"""Projections of layers that read no other."""

import pytest
import torch
import torch.nn.functional as F
from archs import PICO
from torch import nn

from sparx_mm import SparXMamba
from sparx_mm.layers import LinearProjection


def test_projects_each_position():
    proj = LinearProjection(4, 6)
    x = torch.randn(2, 4, 3, 5)
    assert proj(x).equal(F.conv2d(x, proj.weight, proj.bias))
    assert LinearProjection(4, 6, bias=False).bias is None


def test_a_mixer_may_bring_its_own():
    identity = dict(type='Identity')
    model = SparXMamba(dict(PICO, projection=identity, mixer=dict(type='SSM', ssm_ratio=1)))
    assert isinstance(model.stages[0].layers[0].proj, nn.Identity)
    assert model(torch.rand(2, 3, 32, 32))[0].shape == (2, 16, 8, 8)
    with pytest.raises(ValueError, match='hands on 16 channels, and the mixer reads 32: take'):
        SparXMamba(dict(PICO, projection=identity))
