"""Position encoding."""

import torch
import torch.nn.functional as F

from sparx_mm.layers import DynamicPositionEncoding


def test_dpe_is_residual_and_depthwise():
    dpe = DynamicPositionEncoding(4)
    x = torch.randn(2, 4, 5, 3)
    expected = x + F.conv2d(x, dpe.weight, dpe.bias, padding=1, groups=4)
    assert dpe(x).equal(expected)
    assert dpe.weight.shape == (4, 1, 3, 3)
