"""Every peer computes what the definition says."""

import functools
import sys
import types

import pytest
import torch
from torch._subclasses import FakeTensorMode

from sparx_mm.kernels import ss2d
from sparx_mm.kernels.selective_scan.reference import selective_scan
from sparx_mm.kernels.ss2d.reference import ss2d as reference
from sparx_mm.kernels.testing import map_arguments

# batch, channels, height, width, rank, state: single rows and columns, odd
# and even lengths, more than one state
SIZES = [
    (1, 1, 1, 1, 1, 1),
    (2, 3, 1, 7, 2, 2),
    (1, 4, 8, 1, 1, 1),
    (2, 5, 3, 5, 2, 1),
    (1, 2, 4, 6, 1, 3),
]
CPU = torch.device('cpu')


def assert_is_reference(function, size, definition=reference):
    from agreement import evaluate

    inputs = [t.requires_grad_() for t in map_arguments(*size)]
    dy = torch.randn_like(inputs[0])
    given = evaluate(function, inputs, [dy])
    wanted = evaluate(definition, inputs, [dy])
    for a, b in zip(given, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('name', ['unfused', 'sequential', 'two_level', 'log_depth', 'loop'])
def test_output_and_every_gradient(name, size):
    from peers import FORMS

    assert_is_reference(FORMS[name].run, size)


@pytest.mark.parametrize('size', SIZES)
def test_permuted_copies(size):
    from peers import permuted

    assert_is_reference(permuted, size, functools.partial(reference, orders='diagonal'))


@pytest.fixture
def mamba_ssm(monkeypatch):
    """Install a package with mamba-ssm's function and signature."""

    def selective_scan_fn(
        u,
        delta,
        A,
        B,
        C,
        D=None,
        z=None,
        delta_bias=None,
        delta_softplus=False,
        return_last_state=False,
    ):
        assert z is None and not return_last_state
        return selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)

    names = ['mamba_ssm', 'mamba_ssm.ops']
    names.append('mamba_ssm.ops.selective_scan_interface')
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules[names[-1]].selective_scan_fn = selective_scan_fn


@pytest.mark.parametrize('size', SIZES)
def test_mamba_ssm(mamba_ssm, size):
    from peers import FORMS

    assert not FORMS['mamba_ssm'].why_not(torch.device('cuda'))
    assert_is_reference(FORMS['mamba_ssm'].run, size)


def test_why_a_peer_does_not_run(monkeypatch):
    from peers import choose

    monkeypatch.setitem(sys.modules, 'mamba_ssm', None)
    forms, reasons = choose(['loop', 'mamba_ssm'], CPU)
    assert list(forms) == ['loop'] and not reasons['loop']
    assert 'on a GPU alone' in reasons['mamba_ssm']
    _, reasons = choose(['mamba_ssm'], torch.device('cuda'))
    assert 'does not import (' in reasons['mamba_ssm']


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16', 'float32'])
def test_tolerances_allow_for_rounding(dtype):
    from peers import FORMS, Form
    from scan_forms import check_full, check_small, make_inputs

    dtype = getattr(torch, dtype)
    names = ('unfused', 'sequential', 'two_level', 'log_depth', 'loop')
    forms = {'ss2d': Form(ss2d), **{name: FORMS[name] for name in names}}
    check_small(forms, 24, dtype, CPU)
    check_full(forms, *make_inputs(2, 24, 14, 13, dtype, CPU))


def test_truth_of_a_batch_is_that_of_all_its_images():
    from agreement import evaluate
    from scan_forms import make_inputs, truth

    inputs, dy = make_inputs(3, 4, 3, 4, torch.float32, CPU)
    doubles = [t.detach().double().requires_grad_() for t in inputs]
    wanted = evaluate(reference, doubles, [dy])
    for a, b in zip(truth(inputs, dy), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def saved_bytes(function):
    """Kept for backward, for each element of a bfloat16 map."""
    saved = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        saved[storage._cdata] = storage.nbytes()
        return tensor

    # shapes alone
    with FakeTensorMode():
        inputs = map_arguments(2, 192, 56, 56, 6, 1, torch.bfloat16)
        inputs = [t.requires_grad_() for t in inputs]
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            function(*inputs)
    for parameter in inputs[2:]:
        saved.pop(parameter.untyped_storage()._cdata, None)
    return sum(saved.values()) / inputs[0].numel()


def test_memory_that_the_unfused_pipeline_keeps():
    """What fusing saves, first of all."""
    from peers import FORMS

    assert saved_bytes(FORMS['unfused'].run) > 16
    assert saved_bytes(ss2d) < 4
