"""The SS2D mixer."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import ss2d
from sparx_mm.mixers import SS2D


def _scan(u, dt, A, B, C, D):
    """One sequence: u, dt (L, D), A (D, N), B, C (L, N) -> (L, D)."""
    h = torch.zeros_like(A)
    ys = []
    for t in range(len(u)):
        h = (dt[t, :, None] * A).exp() * h + (dt[t] * u[t])[:, None] * B[t]
        ys.append(h @ C[t] + D * u[t])
    return torch.stack(ys)


@pytest.mark.parametrize('d_state', [1, 3])
def test_against_the_definition(d_state):
    torch.manual_seed(0)
    height, width, dim = 3, 5, 6
    mixer = SS2D(dim, d_state=d_state).double()
    for param in mixer.parameters():
        nn.init.normal_(param, std=0.5)
    x = torch.randn(1, 12, height, width, dtype=torch.float64)
    inner = F.silu(mixer.conv(x))[0]
    rank = 1
    A = -mixer.A_log.exp().unflatten(0, (4, -1))
    D = mixer.D.view(4, -1)
    y = torch.zeros_like(inner)
    indices = torch.arange(height * width).view(height, width)
    orders = [indices.flatten(), indices.t().flatten()]
    orders += [orders[0].flip(0), orders[1].flip(0)]
    weights = mixer.x_proj_weight[..., 0].unflatten(0, (4, -1))
    for k, order in enumerate(orders):
        u = inner.flatten(1)[:, order].t()
        dt, B, C = (u @ weights[k].t()).split([rank, d_state, d_state], -1)
        dt = F.softplus(dt @ mixer.dt_weight[k].t() + mixer.dt_bias[k])
        out = _scan(u, dt, A[k], B, C, D[k])
        y.view(12, -1)[:, order] += out.t()
    expected = mixer.out_proj(mixer.norm(y[None]))
    torch.testing.assert_close(mixer(x), expected, atol=1e-10, rtol=1e-10)


def test_parameters():
    mixer = SS2D(40, d_state=2)
    assert mixer.in_channels == 80
    shapes = {n: tuple(p.shape) for n, p in mixer.named_parameters()}
    # rank is ceil(40 / 16) = 3
    assert shapes == {
        'x_proj_weight': (4 * (3 + 4), 80, 1),
        'dt_weight': (4, 80, 3),
        'dt_bias': (4, 80),
        'A_log': (320, 2),
        'D': (320,),
        'conv.weight': (80, 1, 5, 5),
        'conv.bias': (80,),
        'norm.weight': (80,),
        'norm.bias': (80,),
        'out_proj.weight': (40, 80, 1, 1),
        'out_proj.bias': (40,),
    }


def test_initialisation():
    torch.manual_seed(0)
    mixer = SS2D(64, d_state=3)
    assert mixer.D.eq(1).all()
    torch.testing.assert_close(mixer.A_log.exp(), torch.tensor([[1.0, 2.0, 3.0]]).expand(512, 3))
    delta = F.softplus(mixer.dt_bias)
    assert 0.99e-3 < delta.min() < 2e-3
    assert 0.05 < delta.max() < 0.101
    # log-uniform: the mean of the logarithm lies in the middle
    assert abs(delta.log().mean() - math.log(1e-2)) < 0.2
    assert 0.45 < mixer.dt_weight.abs().max() <= 4**-0.5
    assert 0.08 < mixer.x_proj_weight.abs().max() <= 128**-0.5


def test_options():
    mixer = SS2D(16, ssm_ratio=1.5, dt_rank=5, d_conv=3)
    assert mixer.in_channels == 24
    assert mixer.dt_weight.shape == (4, 24, 5)
    assert mixer.conv.weight.shape == (24, 1, 3, 3)
    assert mixer(torch.randn(2, 24, 1, 1)).shape == (2, 16, 1, 1)


def test_gate_and_biases():
    """VMamba's first release: half of the input gates the normed scan."""
    torch.manual_seed(0)
    norm = dict(type='LN2d')
    plain = SS2D(6, d_state=2, norm=norm, bias=False)
    gated = SS2D(6, d_state=2, norm=norm, bias=False, gate=True)
    assert (plain.in_channels, gated.in_channels) == (12, 24)
    assert plain.out_proj.bias is None and plain.conv.bias is not None
    assert SS2D(6, conv_bias=False).conv.bias is None
    gated.load_state_dict(plain.state_dict())
    # without a projection after it, the gate is a factor
    for mixer in (plain, gated):
        mixer.out_proj = torch.nn.Identity()
    x, z = torch.randn(2, 2, 12, 4, 5)
    torch.testing.assert_close(gated(torch.cat([x, z], 1)), plain(x) * F.silu(z))


def test_scan_under_autocast(monkeypatch):
    torch.manual_seed(0)
    mixer, x = SS2D(6, d_state=2), torch.randn(2, 12, 5, 7)
    scans = []

    def scan(x, dt_B_C, *parameters):
        # the values that reach the scan, without rounding of its result
        y = ss2d(x.float(), dt_B_C.float(), *parameters)
        scans.append(((x, dt_B_C, *parameters), y))
        return y.to(x.dtype)

    monkeypatch.setattr(SS2D, 'scan', staticmethod(scan))
    with torch.autocast('cpu', torch.bfloat16):
        y = mixer(x)
    assert y.dtype == torch.bfloat16
    ((inputs, scanned),) = scans
    # map and projection may be rounded; what step sizes and decays are made
    # of may not
    assert [t.dtype for t in inputs] == [torch.bfloat16] * 2 + 4 * [torch.float32]
    own = (mixer.dt_weight, mixer.dt_bias, -mixer.A_log.exp(), mixer.D)
    for given, parameter in zip(inputs[2:], own):
        assert torch.equal(given.flatten(), parameter.flatten())
    truth = ss2d(*(t.double() for t in inputs))
    # float32 arithmetic; step sizes or states of 8 bits err by 1e-3 and more
    error = (scanned - truth).abs().max()
    assert error <= 5e-6 * truth.abs().max()
    y.float().sum().backward()
    for parameter in mixer.parameters():
        assert parameter.grad.dtype == torch.float32
