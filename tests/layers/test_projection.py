"""The projection of a normal layer."""

import torch
import torch.nn.functional as F

from sparx_mm.layers import LinearProjection


def test_projects_and_reads_no_source():
    proj = LinearProjection(4, 6)
    x = torch.randn(2, 4, 3, 5)
    expected = F.conv2d(x, proj.weight, proj.bias)
    assert proj(x).equal(expected)
    assert proj(x, [torch.full_like(x, torch.nan)]).equal(expected)
