"""Position encoding."""

import torch
import torch.nn.functional as F

from sparx_mm.layers import DynamicPositionEncoding


def test_dpe_is_residual_and_depthwise():
    dpe = DynamicPositionEncoding(4)
    x = torch.randn(2, 4, 5, 3)
    expected = x + F.conv2d(x, dpe.weight, dpe.bias, padding=1, groups=4)
    torch.testing.assert_close(dpe(x), expected, atol=1e-6, rtol=1e-6)
    assert dpe.weight.shape == (4, 1, 3, 3)
