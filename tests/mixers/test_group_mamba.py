"""Groups of channels that are scanned in four directions."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.errors import ConfigError
from sparx_mm.mixers import ModulatedGroupMamba


def make(dim=8, **kwargs):
    """A mixer in float64 with parameters of order one."""
    torch.manual_seed(0)
    mixer = ModulatedGroupMamba(dim, **kwargs).double()
    for param in mixer.parameters():
        nn.init.normal_(param, std=0.5)
    nn.init.constant_(mixer.skip_scale, 0.7)
    return mixer


def order_of(group, height, width):
    """Positions in the order of a group: rows, columns, rows backwards, columns backwards."""
    rows = [(y, x) for y in range(height) for x in range(width)]
    columns = [(y, x) for x in range(width) for y in range(height)]
    return [rows, columns, rows[::-1], columns[::-1]][group]


def scan(mixer, group, a):
    """Scan (B, D, H, W) position by position, and norm it."""
    rank, state, inner = mixer.dt_weight.shape[2], mixer.d_state, a.shape[1]
    x_proj = mixer.x_proj_weight[..., 0].chunk(4)[group]
    A, D = (t.chunk(4)[group] for t in (-mixer.A_log.exp(), mixer.D))
    h, outputs = 0, {}
    for y, x in order_of(group, *a.shape[2:]):
        u = a[:, :, y, x]
        dt, B, C = (u @ x_proj.t()).split([rank, state, state], 1)
        step = F.softplus(dt @ mixer.dt_weight[group].t() + mixer.dt_bias[group])
        h = torch.exp(step[..., None] * A) * h + (step * u)[..., None] * B[:, None]
        out = (h * C[:, None]).sum(-1) + D * u
        weight, bias = (t.chunk(4)[group] for t in (mixer.out_norm.weight, mixer.out_norm.bias))
        outputs[y, x] = F.layer_norm(out, (inner,), weight, bias, 1e-5)
    rows = [torch.stack([outputs[y, x] for x in range(a.shape[3])], -1) for y in range(a.shape[2])]
    return torch.stack(rows, -2)


def definition(mixer, x):
    """Group by group."""
    n = mixer.norm(x)
    parts = []
    for group, own in enumerate(n.chunk(4, 1)):
        both = F.conv2d(own, mixer.in_proj.weight.chunk(4)[group])
        a, z = both.chunk(2, 1)
        conv = [t.chunk(4)[group] for t in (mixer.conv.weight, mixer.conv.bias)]
        a = F.silu(F.conv2d(a, *conv, padding=1, groups=a.shape[1]))
        y = scan(mixer, group, a) * F.silu(z)
        parts.append(F.conv2d(y, mixer.out_proj.weight.chunk(4)[group]))
    gate = torch.sigmoid(mixer.gate.fc2(F.relu(mixer.gate.fc1(n.mean((2, 3), keepdim=True)))))
    y = torch.cat(parts, 1) * mixer.skip_scale * n * gate
    return mixer.proj(mixer.norm(y))


@pytest.mark.parametrize('size, d_state', [((1, 1), 1), ((1, 5), 2), ((4, 3), 1), ((2, 6), 3)])
def test_against_the_definition(size, d_state):
    """Outputs and all gradients, on maps that are not square too."""
    mixer = make(d_state=d_state, dt_rank=2)
    x = torch.randn(2, 8, *size, dtype=torch.float64, requires_grad=True)
    inputs = [x, *mixer.parameters()]
    y, wanted = mixer(x), definition(mixer, x)
    dy = torch.randn_like(y)
    grads, wanted_grads = (torch.autograd.grad(out, inputs, dy) for out in (y, wanted))
    for given, other in zip((y, *grads), (wanted, *wanted_grads), strict=True):
        torch.testing.assert_close(given, other, atol=1e-10, rtol=1e-8)


def test_initialisation():
    torch.manual_seed(0)
    mixer = ModulatedGroupMamba(348)
    assert mixer.A_log.eq(0).all() and mixer.D.eq(1).all() and mixer.skip_scale.eq(1).all()
    # R = ceil(87 / 16)
    assert mixer.dt_weight.shape == (4, 87, 6) and mixer.gate.fc1.out_channels == 21
    assert 0.95 * 6**-0.5 < mixer.dt_weight.abs().max() <= 6**-0.5
    assert 0.95 * 87**-0.5 < mixer.x_proj_weight.abs().max() <= 87**-0.5
    steps = F.softplus(mixer.dt_bias)
    assert 1e-3 * 0.99 <= steps.min() and steps.max() <= 0.1 * 1.01
    assert abs(steps.log().mean() - math.log(1e-2)) < 0.3


def test_autocast_scans_and_norms_in_float32():
    """Step sizes and sums that 16 bits would round away."""
    mixer, seen = make(16).float(), []
    mixer.out_norm.register_forward_hook(
        lambda module, args, out: seen.extend([args[0].dtype, out.dtype])
    )
    x = torch.randn(1, 16, 5, 4)
    with torch.autocast('cpu', torch.bfloat16):
        assert mixer(x).dtype == torch.bfloat16
    assert seen == [torch.float32, torch.float32]
    mixer.bfloat16()(x.bfloat16())
    assert seen[2:] == [torch.float32, torch.float32]


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(dim=30), 'deals channels out to 4 groups, got 30'),
        (dict(dim=8, reduction=0), 'reduction must be an int from 1, got 0'),
        (dict(dim=8, reduction=0.5), 'reduction must be an int from 1, got 0.5'),
        (dict(dim=8, d_conv=4), r'd_conv of a mixer\) must be an odd int from 1, got 4'),
        (dict(dim=8, d_conv=-1), 'odd int from 1, got -1'),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ConfigError, match=message):
        ModulatedGroupMamba(**options)
