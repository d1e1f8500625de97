"""CS2D is a loop over positions along rows, columns and true diagonals."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.errors import ConfigError
from sparx_mm.kernels import selective_scan
from sparx_mm.kernels.ss2d.orders import diagonal_orders
from sparx_mm.layers import Layer
from sparx_mm.mixers import CS2D, CVSSMixer

SIZES = [(1, 1), (1, 6), (5, 1), (3, 5), (5, 4)]


def paths(height, width):
    """Lists of positions (row, column), written down as the paper draws them."""
    rows = [(i, j) for i in range(height) for j in range(width)]
    columns = [(i, j) for j in range(width) for i in range(height)]
    anti = [(i, d - i) for d in range(height + width - 1) for i in range(height)]
    main = [(i, i - d) for d in range(1 - width, height) for i in range(height)]
    # what leaves the map is no part of a diagonal
    inside = set(rows)
    return [rows, columns, *([p for p in path if p in inside] for path in (anti, main))]


def arguments(height, width, channels=3, states=2, rank=2, batch=2):
    torch.manual_seed(height + width)
    return [
        one.double().requires_grad_()
        for one in (
            torch.randn(batch, channels, height, width),
            torch.randn(batch, height, width, 4, rank + 2 * states),
            torch.randn(4, channels, rank),
            torch.randn(4, channels),
            -torch.rand(4, channels, states),
            torch.randn(4, channels),
        )
    ]


def naive(x, dt_B_C, dt_weight, dt_bias, A, D):
    """Step over the positions of each path."""
    y = torch.zeros_like(x)
    rank, states = dt_weight.shape[2], A.shape[2]
    for k, path in enumerate(paths(*x.shape[2:])):
        h = x.new_zeros(*x.shape[:2], states)
        for i, j in path:
            dt, B, C = dt_B_C[:, i, j, k].split([rank, states, states], 1)
            delta = F.softplus(dt @ dt_weight[k].t() + dt_bias[k])[..., None]
            u = x[:, :, i, j]
            h = torch.exp(delta * A[k]) * h + delta * B[:, None] * u[..., None]
            place = torch.zeros_like(x[0, 0])
            place[i, j] = 1
            y = y + ((h * C[:, None]).sum(2) + D[k] * u)[..., None, None] * place
    return y


def scan_in_orders(x, dt_B_C, dt_weight, dt_bias, A, D, orders):
    """Scan sequences that are permuted by orders, and put each position back."""
    # (B, D, H, W) -> (B, 4, D, L), (B, H, W, 4, R+2N) -> (B, 4, R+2N, L)
    u = x.flatten(2)[:, :, orders].transpose(1, 2)
    p = dt_B_C.flatten(1, 2).permute(0, 2, 3, 1)
    p = p.gather(3, orders.unsqueeze(1).expand_as(p))
    dt, B, C = p.split([dt_weight.shape[2], A.shape[2], A.shape[2]], 2)
    delta = (dt_weight @ dt).flatten(1, 2)
    rest = A.flatten(0, 1), B, C, D.flatten(), dt_bias.flatten(), True
    y = selective_scan(u.flatten(1, 2), delta, *rest).unflatten(1, (4, -1))
    places = orders.argsort(1).unsqueeze(1)
    return y.gather(3, places.expand_as(y)).sum(1).view_as(x)


@pytest.mark.parametrize('size', SIZES)
def test_the_scan_and_its_gradients(size):
    given = arguments(*size)
    wanted = naive(*given)
    cotangent = torch.randn_like(wanted)
    gradients = torch.autograd.grad(wanted, given, cotangent)
    in_sequences = scan_in_orders(*given, diagonal_orders(*size))
    for found in (CS2D.scan(*given), in_sequences):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
        for one, other in zip(torch.autograd.grad(found, given, cotangent), gradients):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('size', [*SIZES, (7, 9)])
def test_diagonals_are_not_wrapped(size):
    height, width = size
    expected = [[i * width + j for i, j in path] for path in paths(*size)]
    assert diagonal_orders(height, width).tolist() == expected


def test_a_block_is_what_the_paper_draws():
    torch.manual_seed(0)
    mixer = CVSSMixer(8).double().eval()
    x = torch.randn(2, 8, 5, 3).double()
    scan, local, (depthwise, pointwise) = mixer.scan, mixer.local, mixer.dsconv
    assert isinstance(scan, Layer) and isinstance(scan.mixer, CS2D) and scan.ffn is None

    def gate_channels(f):
        shrink, _, grow = mixer.channel_gate.mlp
        pooled = [f.mean((2, 3)), f.flatten(2).max(2).values]
        hidden = [F.relu(one @ shrink.weight.flatten(1).t()) for one in pooled]
        weights = sum(one @ grow.weight.flatten(1).t() for one in hidden)
        return f * torch.sigmoid(weights)[..., None, None]

    def gate_positions(f):
        pooled = torch.stack([f.mean(1), f.max(1).values], 1)
        return f * torch.sigmoid(F.conv2d(pooled, mixer.spatial_gate.conv.weight, padding=3))

    def norm(f):
        return F.layer_norm(f.permute(0, 2, 3, 1), (8,), mixer.norm.weight, mixer.norm.bias)

    mixed = gate_channels(x + scan.mixer(scan.proj(scan.norm1(x)))) + gate_positions(local(x))
    y = F.conv2d(mixed, depthwise.weight, depthwise.bias, padding=1, groups=8)
    y = norm(F.conv2d(y, pointwise.weight, pointwise.bias)).permute(0, 3, 1, 2)
    expected = F.conv2d(y, mixer.out_proj.weight, mixer.out_proj.bias)
    torch.testing.assert_close(mixer(x), expected)
    assert sum(isinstance(m, nn.Conv2d) for m in mixer.modules()) == 10


@pytest.mark.parametrize('side', [6, 0, -1, 7.0])
def test_gates_have_kernels_of_an_odd_side(side):
    with pytest.raises(
        ConfigError, match=f'gate_kernel of a mixer.* an odd int from 1, got {side}'
    ):
        CVSSMixer(8, gate_kernel=side)
