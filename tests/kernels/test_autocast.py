"""Autocast changes nothing inside the operators."""

import pytest
import torch

from sparx_mm.kernels import selective_scan, ss2d
from sparx_mm.kernels.autocast import without_autocast


def _map():
    return [
        torch.randn(2, 20, 5, 6),
        torch.randn(2, 5, 6, 4, 3 + 2),
        torch.randn(4, 20, 3),
        torch.randn(4, 20),
        -torch.rand(4, 20, 1),
        torch.randn(4, 20),
    ]


def _sequence():
    return [
        torch.randn(2, 20, 70),
        torch.randn(2, 20, 70),
        -torch.rand(20, 2),
        torch.randn(2, 2, 70),
        torch.randn(2, 2, 70),
        torch.randn(20),
        torch.randn(20),
    ]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('form', ['numba', 'torch', 'reference'])
@pytest.mark.parametrize('op,make_inputs', [(ss2d, _map), (selective_scan, _sequence)])
def test_same_bits_as_without(op, make_inputs, form, dtype, evaluate, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', form)
    inputs = make_inputs()
    wanted = evaluate(op, inputs)
    with torch.autocast('cpu', dtype):
        if form == 'reference':
            # autograd's own formulas are not the operator's to guard
            given = [op(*inputs)]
        else:
            given = evaluate(op, inputs)
    for a, b in zip(given, wanted):
        assert torch.equal(a, b)


@without_autocast
def _product(a, b):
    return a @ b


class _Product(torch.nn.Module):
    def forward(self, x):
        return _product(x, b=x)


def test_the_switch_reaches_no_further():
    x = torch.ones(2, 2)
    with torch.autocast('cpu', torch.bfloat16):
        assert _product(x, b=x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16
    assert _product(x, x).dtype == torch.float32


@pytest.mark.parametrize('strict', [False, True])
def test_no_switch_in_an_exported_graph(strict):
    x = torch.ones(2, 2)
    graph = torch.export.export(_Product(), (x,), strict=strict).graph
    assert 'matmul' in str(graph) and 'autocast' not in str(graph)


def test_a_device_without_autocast():
    assert _Product()(torch.ones(2, 2, device='meta')).shape == (2, 2)
