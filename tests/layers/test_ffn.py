"""Feed-forward networks."""

import pytest
import torch
import torch.nn.functional as F

from sparx_mm.layers import MLP, ConvFFN


@pytest.mark.parametrize('shortcut', [True, False])
def test_conv_ffn(shortcut):
    ffn = ConvFFN(3, ratio=2.0, shortcut=shortcut)
    x = torch.randn(2, 3, 4, 5)
    hidden = F.conv2d(x, ffn.fc1.weight, ffn.fc1.bias)
    near = F.conv2d(hidden, ffn.dwconv.weight, ffn.dwconv.bias, padding=1, groups=6)
    hidden = shortcut * hidden + near
    # the exact GELU, not its tanh form
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    expected = F.conv2d(hidden, ffn.fc2.weight, ffn.fc2.bias)
    torch.testing.assert_close(ffn(x), expected, atol=1e-6, rtol=1e-5)


def test_conv_ffn_of_other_widths():
    ffn = ConvFFN(3, hidden_channels=5, out_channels=4)
    assert ffn.dwconv.weight.shape == (5, 1, 3, 3)
    assert ffn(torch.randn(2, 3, 4, 5)).shape == (2, 4, 4, 5)


def test_mlp():
    mlp = MLP(3, ratio=2.0)
    x = torch.randn(2, 3, 4, 5)
    tokens = x.permute(0, 2, 3, 1)
    hidden = F.linear(tokens, mlp.fc1.weight[..., 0, 0], mlp.fc1.bias)
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    expected = F.linear(hidden, mlp.fc2.weight[..., 0, 0], mlp.fc2.bias)
    torch.testing.assert_close(mlp(x), expected.permute(0, 3, 1, 2), atol=1e-6, rtol=1e-5)
