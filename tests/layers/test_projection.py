"""The projection of a normal layer."""

import torch
import torch.nn.functional as F

from sparx_mm.layers import LinearProjection


def test_projects_each_position():
    proj = LinearProjection(4, 6)
    x = torch.randn(2, 4, 3, 5)
    expected = F.conv2d(x, proj.weight, proj.bias)
    assert proj(x).equal(expected)
    assert LinearProjection(4, 6, bias=False).bias is None
