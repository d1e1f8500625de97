"""The self-test: it passes on this machine, and sees what it should."""

import pytest
import torch

from sparx_mm.kernels import selftest
from sparx_mm.kernels.ss2d import numba as ss2d_numba

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'


def test_the_kernels_of_this_machine_agree():
    checks = list(selftest.run(DEVICE))
    assert [str(check) for check in checks if not check.ok] == []
    scans = {'ss2d', 'ss2d diagonal', 'ss2d snake', 'selective_scan', 'selective_scan plain'}
    norms = {'group_norm', 'group_norm thirds', 'layer_norm'}
    operators = {*scans, *norms, 'depthwise_conv', 'depthwise_conv silu'}
    assert {check.operator for check in checks} == operators
    assert {check.dtype for check in checks} == set(selftest.dtypes(DEVICE))
    # only scans have numba kernels
    backends = {'triton'} if DEVICE == 'cuda' else {'numba', 'torch'}
    assert {check.backend for check in checks} == backends


def first(monkeypatch):
    """Run the first check of ss2d with more than one position."""
    monkeypatch.setattr(selftest, 'dtypes', lambda device: [torch.float32])
    checks = selftest.run('cpu')
    next(checks)
    return next(checks)


@pytest.mark.parametrize('wrong', range(7))
@pytest.mark.parametrize('factor', [1.0001, float('nan')])
def test_a_wrong_output_or_gradient_is_seen(wrong, factor, monkeypatch):
    # the definition needs neither of these
    forward, backward = ss2d_numba.forward, ss2d_numba.backward

    def broken(results, index):
        results = list(results)
        results[index] = results[index] * factor
        return results

    if wrong:
        monkeypatch.setattr(ss2d_numba, 'backward', lambda *t: broken(backward(*t), wrong - 1))
    else:
        monkeypatch.setattr(ss2d_numba, 'forward', lambda *t: broken(forward(*t), 0))
    check = first(monkeypatch)
    assert not check.ok and str(check).endswith('FAILED')


def test_what_a_kernel_raises_is_a_failure(monkeypatch):

    def forward(*inputs):
        raise RuntimeError('out of\nregisters')

    monkeypatch.setattr(ss2d_numba, 'forward', forward)
    check = first(monkeypatch)
    assert not check.ok
    assert 'RuntimeError: out of registers' in str(check)
    assert len(str(check).splitlines()) == 1


def test_random_numbers_go_on_as_before(monkeypatch):
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    # what torch.manual_seed calls, with a GPU or without
    on_gpus = []
    monkeypatch.setattr(torch.cuda, 'manual_seed_all', on_gpus.append)
    next(selftest.run('cpu'))
    assert torch.equal(torch.rand(1), wanted)
    assert not on_gpus


def test_the_reference_is_not_held_to_itself(monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', 'reference')
    with pytest.raises(ValueError, match="'reference'.*unset it"):
        next(selftest.run('cpu'))
