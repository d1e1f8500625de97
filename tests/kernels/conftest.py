"""Fixtures that the kernel tests share."""

import os
import subprocess
import sys

import pytest
import torch


@pytest.fixture(autouse=True)
def plain_start(monkeypatch):
    torch.manual_seed(0)
    # the environment of a developer must not choose what is tested
    monkeypatch.delenv('SPARX_MM_KERNELS', raising=False)


@pytest.fixture(autouse=True)
def nan_in_new_memory():
    """Fill what torch allocates with NaN, so that a read of unwritten memory shows."""
    assert torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)
    if torch.cuda.is_available():
        # for the other workers, which share the card
        torch.cuda.empty_cache()


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
        return [y.detach(), *torch.autograd.grad(y, inputs, dy.to(y))]

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
