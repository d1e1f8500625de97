"""The snake scan: its orders, its two properties, and what it keeps between calls."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.mixers import SnakeScan
from sparx_mm.mixers.snake_scan import (
    _KEPT_SIZES,
    DOWN,
    LEFT,
    RIGHT,
    START,
    UP,
    _kept_tables,
    snake_moves,
)

SIZES = [(1, 1), (1, 5), (4, 1), (2, 3), (3, 4), (5, 5)]
STEPS = {(0, 1): RIGHT, (0, -1): LEFT, (-1, 0): UP, (1, 0): DOWN}


def walk(height, width):
    """The positions of the four scans, each as a row and a column."""
    rows = [(i, j if i % 2 == 0 else width - 1 - j) for i in range(height) for j in range(width)]
    columns = [
        (i if j % 2 == 0 else height - 1 - i, j) for j in range(width) for i in range(height)
    ]
    return [rows, rows[::-1], columns, columns[::-1]]


def moves_of(path):
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(path, path[1:])]
    # which fails where a scan jumps
    return [START, *(STEPS[step] for step in steps)]


@pytest.mark.parametrize('size', SIZES)
def test_moves(size):
    assert snake_moves(*size).tolist() == [moves_of(path) for path in walk(*size)]


def small(**kwargs):
    torch.manual_seed(0)
    mixer = SnakeScan(6, d_state=3, d_conv=3, **kwargs).double().eval()
    for parameter in (mixer.D, mixer.A_log, mixer.dt_bias, mixer.direction_Bs):
        nn.init.normal_(parameter)
    return mixer


@pytest.mark.parametrize('size', SIZES)
def test_definition(size):
    """Position by position: step sizes, B and C in the order of rows, the bias twice."""
    mixer = small()
    inner, length = mixer.inner_channels, size[0] * size[1]
    inputs = torch.randn(2, mixer.in_channels, *size, dtype=torch.double)
    x, z = inputs.chunk(2, 1)
    x = F.silu(F.conv2d(x, mixer.conv.weight, mixer.conv.bias, padding=1, groups=inner))
    dt, B, C = F.conv1d(x.flatten(2), mixer.x_proj_weight).split([1, 3, 3], 1)
    delta = F.softplus(mixer.dt_weight[0] @ dt + 2 * mixer.dt_bias[0, :, None])
    y = torch.zeros_like(x)
    for path in walk(*size):
        state = torch.zeros(2, inner, 3, dtype=torch.double)
        for t, ((i, j), move) in enumerate(zip(path, moves_of(path), strict=True)):
            u, step = x[:, :, i, j], delta[:, :, t, None]
            state = state * torch.exp(-step * mixer.A_log.exp())
            state = state + step * (B[:, None, :, t] + mixer.direction_Bs[move]) * u[..., None]
            y[:, :, i, j] += (state * C[:, None, :, t]).sum(2) + mixer.D * u
    assert length == len(path)
    torch.testing.assert_close(mixer(inputs), mixer.out_proj(y * F.silu(z)))


def test_parameters_start_as_mambas():
    torch.manual_seed(0)
    mixer = SnakeScan(48)
    assert mixer.in_channels == 192 and mixer.dt_weight.shape == (1, 96, 3)
    assert mixer.D.eq(1).all()
    torch.testing.assert_close(mixer.A_log.exp()[7], torch.arange(1.0, 17))
    steps = F.softplus(mixer.dt_bias)
    assert 1e-3 * 0.99 <= steps.min() and steps.max() <= 0.1 * 1.01
    assert 0 < mixer.dt_weight.abs().max() <= 3**-0.5
    assert 0.015 < mixer.direction_Bs.std() < 0.025


def test_tables_are_kept_and_no_part_of_the_module():
    """A copy, a pickle and a state dict have none, and no more sizes are kept than a few."""
    _kept_tables.cache_clear()
    mixer = small()
    names = set(mixer.state_dict())
    x = torch.randn(1, mixer.in_channels, 3, 4, dtype=torch.double)
    with torch.inference_mode():
        wanted = mixer(x)
    # what inference has left is used in training
    assert mixer(x).requires_grad and _kept_tables.cache_info().hits == 1
    mixer(x).sum().backward()
    assert mixer.direction_Bs.grad.any()
    assert set(mixer.state_dict()) == names
    for twin in (copy.deepcopy(mixer), pickle.loads(pickle.dumps(mixer))):
        assert twin(x).equal(wanted)
    for width in range(1, 2 * _KEPT_SIZES):
        mixer(torch.randn(1, mixer.in_channels, 1, width, dtype=torch.double))
    assert _kept_tables.cache_info().currsize == _KEPT_SIZES


def test_half_precision_scans_in_float32():
    mixer = small().float()
    x = torch.randn(1, mixer.in_channels, 9, 7)
    wanted = mixer(x)
    found = mixer.bfloat16()(x.bfloat16())
    assert found.dtype == torch.bfloat16
    assert (found.float() - wanted).abs().max() < 0.03 * wanted.abs().max()
