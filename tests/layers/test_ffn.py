"""Feed-forward networks."""
import torch
import torch.nn.functional as F

from sparx_mm.layers import ConvFFN


def test_conv_ffn():
    ffn = ConvFFN(3, ratio=2.)
    x = torch.randn(2, 3, 4, 5)
    hidden = F.conv2d(x, ffn.fc1.weight, ffn.fc1.bias)
    near = F.conv2d(
        hidden, ffn.dwconv.weight, ffn.dwconv.bias, padding=1, groups=6)
    hidden = hidden + near
    # the exact GELU, not its tanh form
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    expected = F.conv2d(hidden, ffn.fc2.weight, ffn.fc2.bias)
    torch.testing.assert_close(ffn(x), expected, atol=1e-6, rtol=1e-5)
