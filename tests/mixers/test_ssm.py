"""The mixers that scan a map as one sequence."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import selective_scan
from sparx_mm.mixers import SSM, BiSSM

FORMATS = [torch.contiguous_format, torch.channels_last]


def make(mixer_type, dim=6, **kwargs):
    """A mixer in float64 with parameters of order one."""
    mixer = mixer_type(dim, **kwargs).double()
    for param in mixer.parameters():
        nn.init.normal_(param, std=0.5)
    return mixer


def definition(mixer, x, num_directions):
    """Position by position, direction by direction."""
    rank, state = mixer.dt_weight.shape[-1], mixer.d_state
    x_proj = mixer.x_proj_weight[..., 0].chunk(num_directions)
    A_log, D = (t.chunk(num_directions) for t in (mixer.A_log, mixer.D))
    # (B, D, H, W) -> (B, H*W, D)
    u = F.silu(x).flatten(2).transpose(1, 2)
    total = 0
    for k in range(num_directions):
        order = range(u.shape[1]) if k == 0 else reversed(range(u.shape[1]))
        h, outputs = 0, {}
        for t in order:
            dt, B, C = (u[:, t] @ x_proj[k].t()).split([rank, state, state], 1)
            step = F.softplus(dt @ mixer.dt_weight[k].t() + mixer.dt_bias[k])
            # (B, D, N)
            decay = torch.exp(-step[..., None] * A_log[k].exp())
            h = decay * h + (step * u[:, t])[..., None] * B[:, None]
            outputs[t] = (h * C[:, None]).sum(-1) + D[k] * u[:, t]
        total = total + torch.stack([outputs[t] for t in sorted(outputs)], -1)
    return mixer.out_proj(mixer.norm(total.view_as(x)))


@pytest.mark.parametrize('mixer_type,num_directions', [(SSM, 1), (BiSSM, 2)])
@pytest.mark.parametrize('size,d_state', [((1, 1), 8), ((1, 9), 2), ((5, 3), 1), ((9, 8), 3)])
@pytest.mark.parametrize('memory_format', FORMATS)
def test_against_the_definition(mixer_type, num_directions, size, d_state, memory_format):
    torch.manual_seed(0)
    mixer = make(mixer_type, d_state=d_state, dt_rank=2)
    x = torch.randn(2, 12, *size, dtype=torch.float64)
    x = x.contiguous(memory_format=memory_format).requires_grad_()
    y, wanted = mixer(x), definition(mixer, x, num_directions)
    assert y.is_contiguous(memory_format=memory_format)
    inputs = [x, *mixer.parameters()]
    dy = torch.randn_like(y)
    grads, wanted_grads = (torch.autograd.grad(out, inputs, dy) for out in (y, wanted))
    for given, other in zip((y, *grads), (wanted, *wanted_grads)):
        torch.testing.assert_close(given, other, atol=1e-10, rtol=1e-10)


def reach(mixer, place):
    """Of each position of a map: whether the scan's output depends on it."""
    x = torch.randn(1, 12, 4, 5, dtype=torch.float64, requires_grad=True)
    # the norm is over the whole map
    mixer.norm = nn.Identity()
    mixer(x)[0, :, place[0], place[1]].sum().backward()
    return x.grad[0].abs().sum(0) > 0


def test_one_direction_is_causal():
    torch.manual_seed(0)
    before = torch.arange(20).view(4, 5) <= 2 * 5 + 1
    assert reach(make(SSM), (2, 1)).equal(before)


def test_two_directions_see_all():
    torch.manual_seed(0)
    assert reach(make(BiSSM), (2, 1)).all()


def one_direction_of(both, k):
    """A copy of the one direction of a BiSSM."""
    mixer = SSM(6, d_state=both.d_state).double()
    state = both.state_dict()
    for name in ('x_proj_weight', 'dt_weight', 'dt_bias', 'A_log', 'D'):
        state[name] = state[name].chunk(2)[k]
    mixer.load_state_dict(state)
    return mixer


@pytest.mark.parametrize('k', [0, 1])
def test_a_silent_direction_leaves_the_other(k):
    torch.manual_seed(0)
    both = make(BiSSM, d_state=2)
    one = one_direction_of(both, k)
    with torch.no_grad():
        # C reads nothing, D passes nothing
        both.x_proj_weight.view(2, 5, 12)[1 - k, 3:] = 0.0
        both.D.view(2, 12)[1 - k] = 0.0
    x = torch.randn(2, 12, 3, 4, dtype=torch.float64)
    # the reverse order is that of a map turned by half a turn
    wanted = one(x if k == 0 else x.flip(2, 3))
    wanted = wanted if k == 0 else wanted.flip(2, 3)
    torch.testing.assert_close(both(x), wanted)


@pytest.mark.parametrize('mixer_type,num', [(SSM, 1), (BiSSM, 2)])
def test_parameters(mixer_type, num):
    mixer = mixer_type(40)
    assert mixer.in_channels == 80
    shapes = {n: tuple(p.shape) for n, p in mixer.state_dict().items()}
    # rank is ceil(40 / 16) = 3, and there are 8 states
    assert shapes == {
        'x_proj_weight': (num * (3 + 16), 80, 1),
        'dt_weight': (num, 80, 3),
        'dt_bias': (num, 80),
        'A_log': (num * 80, 8),
        'D': (num * 80,),
        'norm.weight': (80,),
        'norm.bias': (80,),
        'out_proj.weight': (40, 80, 1, 1),
        'out_proj.bias': (40,),
    }


@pytest.mark.parametrize('mixer_type', [SSM, BiSSM])
def test_initialisation(mixer_type):
    torch.manual_seed(0)
    mixer = mixer_type(64)
    assert mixer.D.eq(1).all()
    rates = torch.arange(1.0, 9).expand_as(mixer.A_log)
    torch.testing.assert_close(mixer.A_log.exp(), rates)
    delta = F.softplus(mixer.dt_bias)
    assert 0.99e-3 < delta.min() < 2e-3
    assert 0.05 < delta.max() < 0.101
    assert abs(delta.log().mean() - math.log(1e-2)) < 0.3
    assert 0.4 < mixer.dt_weight.abs().max() <= 4**-0.5
    assert 0.08 < mixer.x_proj_weight.abs().max() <= 128**-0.5


def test_options():
    mixer = BiSSM(16, d_state=2, ssm_ratio=1.5, dt_rank=5)
    assert mixer.in_channels == 24
    assert mixer.dt_weight.shape == (2, 24, 5)
    assert mixer(torch.randn(2, 24, 3, 1)).shape == (2, 16, 3, 1)


@pytest.mark.parametrize('mixer_type', [SSM, BiSSM])
def test_scan_under_autocast(mixer_type, monkeypatch):
    torch.manual_seed(0)
    mixer = mixer_type(64)
    x = torch.randn(1, 128, 5, 7)
    scans = []

    def scan(*tensors, **kwargs):
        scans.append(tensors)
        return selective_scan(*tensors, **kwargs)

    monkeypatch.setattr('sparx_mm.mixers.ssm.selective_scan', scan)
    with torch.autocast('cpu', torch.bfloat16):
        # as after a projection
        y = mixer(x.bfloat16())
    assert y.dtype == torch.bfloat16 and y.isfinite().all()
    ((u, delta, *_, bias),) = scans
    assert u.dtype == torch.bfloat16
    assert [t.dtype for t in (delta, bias)] == 2 * [torch.float32]
    # step sizes are products of float32: few of them have 8 bits only
    rounded = delta.bfloat16().float() == delta
    assert rounded.float().mean() < 0.05
    # a dozen roundings to 8 bits
    wanted = mixer(x)
    torch.testing.assert_close(y.float(), wanted, atol=0.03 * wanted.abs().max().item(), rtol=0)
    y.float().sum().backward()
    for parameter in mixer.parameters():
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize('mixer_type', [SSM, BiSSM])
def test_shapes_alone(mixer_type):
    mixer = mixer_type(8).to('meta')
    x = torch.empty(2, 16, 9, 15, device='meta')
    assert mixer(x).shape == (2, 8, 9, 15)


def test_exports():
    torch.manual_seed(0)
    mixer, x = BiSSM(8).eval(), torch.randn(1, 16, 3, 5)
    exported = torch.export.export(mixer, (x,)).module()
    torch.testing.assert_close(exported(x), mixer(x))
