"""Fixtures that the kernel tests share."""

import functools
import os
import subprocess
import sys

import pytest
import torch
from torch._dynamo import trace_rules

# made once, before `torch.empty_like` is replaced below: Dynamo would not know the
# real one in later tests
trace_rules.get_torch_obj_rule_map()


@pytest.fixture(autouse=True)
def plain_start(monkeypatch):
    torch.manual_seed(0)
    # the environment of a developer must not choose what is tested
    monkeypatch.delenv('SPARX_MM_KERNELS', raising=False)


def poison(allocate):
    """Fill with NaN what a function allocates on the CPU, if it is floating."""

    @functools.wraps(allocate)
    def allocate_nan(*args, **kwargs):
        tensor = allocate(*args, **kwargs)
        if tensor.is_floating_point() and tensor.device.type == 'cpu':
            tensor.fill_(float('nan'))
        return tensor

    return allocate_nan


@pytest.fixture(autouse=True)
def nan_in_new_memory(monkeypatch):
    """Make a read of unwritten memory show in every comparison."""
    for owner, name in (
        (torch, 'empty'),
        (torch, 'empty_like'),
        (torch, 'empty_strided'),
        (torch.Tensor, 'new_empty'),
    ):
        monkeypatch.setattr(owner, name, poison(getattr(owner, name)))


@pytest.fixture
def evaluate():
    """Return a function that computes an output and the gradients of all inputs."""

    def run(function, inputs, dy=None):
        inputs = [t.detach().requires_grad_() for t in inputs]
        y = function(*inputs)
        if dy is None:
            # the same weights in every dtype
            generator = torch.Generator().manual_seed(1)
            dy = torch.randn(y.shape, generator=generator)
        return [y.detach(), *torch.autograd.grad(y, inputs, dy.to(y.dtype))]

    return run


@pytest.fixture
def assert_near():
    """Return a function that compares tensors, relative to the largest wanted value."""

    def check(given, wanted, tolerance):
        assert len(given) == len(wanted)
        for i, (a, b) in enumerate(zip(given, wanted)):
            assert a.shape == b.shape
            error = (a.double() - b.double()).abs().max().item()
            limit = tolerance * b.abs().max().item()
            assert error <= limit, f'tensor {i}: {error:.2e} > {limit:.2e}'

    return check


@pytest.fixture
def run_python():
    """Return a function that runs Python in a fresh process and returns its output."""

    def run(code, timeout=120, **environment):
        result = subprocess.run(
            [sys.executable, '-c', code],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run
