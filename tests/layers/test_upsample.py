"""Patch expansion puts channels where patch merging takes them from."""

import pytest
import torch
from torch.nn import functional as F

from sparx_mm.layers import PatchExpand


@pytest.mark.parametrize('factor', [2, 4])
def test_each_position_becomes_a_square(factor):
    torch.manual_seed(0)
    part, x = PatchExpand(8, factor).double(), torch.randn(2, 8, 3, 5).double()
    y = part(x)
    inner = 8 // factor
    assert y.shape == (2, inner, 3 * factor, 5 * factor)
    tokens = x.permute(0, 2, 3, 1) @ part.expand.weight.flatten(1).t()
    for row in range(factor):
        for column in range(factor):
            wanted = F.layer_norm(tokens[..., row * factor + column :: factor**2], (inner,))
            found = y[:, :, row::factor, column::factor].permute(0, 2, 3, 1)
            torch.testing.assert_close(found, wanted)
