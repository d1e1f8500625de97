"""When launches skip Triton's Python: only for what it would find the same kernel for."""

import pytest
import torch

from sparx_mm.kernels import dispatch

if dispatch.missing_triton():
    pytest.skip(dispatch.missing_triton(), allow_module_level=True)

from triton.runtime.jit import JITFunction

from sparx_mm.kernels._triton import runner


class Compiled:
    """Compiled kernel that notes its launches."""

    def __init__(self):
        self.launches = []

    def __getitem__(self, grid):
        return lambda *args: self.launches.append((grid, args))


class Kernel(JITFunction):
    """Kernel that notes what Triton compiles and launches."""

    arg_names = ('x_ptr', 'size', 'BLOCK', 'WIDE')

    def __init__(self):
        self.compiled = []

    def __getitem__(self, grid):
        def launch(*args, **constants):
            self.compiled.append(Compiled())
            return self.compiled[-1]

        return launch


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setattr(runner, '_COMPILED', {})
    return Kernel()


X = torch.zeros(64)


def test_second_launch_goes_to_the_compiled_kernel(kernel):
    for size in (32, 48):
        runner.run(kernel, (7, 5), X, size, WIDE=True, BLOCK=4, num_warps=1)
    (compiled,) = kernel.compiled
    # constants in the order of the kernel's parameters, options of the launch left out
    assert compiled.launches == [((7, 5, 1), (X, 48, 4, True))]


@pytest.mark.parametrize(
    'x, size, constants',
    [
        (X.double(), 32, {}),
        # an address that is no multiple of 16 bytes
        (X[1:], 32, {}),
        # a constant of its own to Triton
        (X, 1, {}),
        (X, 33, {}),
        # no int32
        (X, 2**32, {}),
        (X, 32, dict(BLOCK=8)),
        (X, 32, dict(num_warps=2)),
        (X.to('meta'), 32, {}),
    ],
)
def test_what_triton_compiles_anew(kernel, x, size, constants):
    usual = dict(BLOCK=4, WIDE=True, num_warps=1)
    for _ in range(2):
        runner.run(kernel, (1,), X, 32, **usual)
        runner.run(kernel, (1,), x, size, **{**usual, **constants})
    assert [len(compiled.launches) for compiled in kernel.compiled] == [1, 1]


@pytest.mark.parametrize('is_hip, compiled', [(True, 2), (False, 1)])
def test_large_storages_have_kernels_of_their_own_on_amd(kernel, monkeypatch, is_hip, compiled):
    monkeypatch.setattr(runner, '_IS_HIP', is_hip)
    for size in (64, 2**29, 64, 2**29):
        x = torch.empty(size, device='meta')
        runner.run(kernel, (1,), x, 32, BLOCK=4, WIDE=True)
    assert len(kernel.compiled) == compiled


def test_kernels_are_told_apart(kernel):
    other = Kernel()
    for one in (kernel, other):
        runner.run(one, (1,), X, 32, BLOCK=4, WIDE=True)
    assert len(kernel.compiled) == len(other.compiled) == 1
