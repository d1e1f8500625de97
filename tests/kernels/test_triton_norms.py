"""The Triton kernels of the norms against their definitions.

On a GPU or interpreted, as test_triton.py; test_triton_gpu.py has the large maps.
"""

import functools
from itertools import product

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sparx_mm.kernels import dispatch, group_norm, layer_norm
from sparx_mm.kernels.group_norm.reference import group_norm as group_definition
from sparx_mm.kernels.layer_norm.reference import layer_norm as layer_definition
from sparx_mm.kernels.testing import map_arguments, norm_arguments

pytestmark = pytest.mark.skipif(
    bool(dispatch.missing_triton()), reason=f'the kernels cannot run: {dispatch.missing_triton()}'
)
if not dispatch.missing_triton():
    from sparx_mm.kernels._triton import kernels as scans
    from sparx_mm.kernels._triton import norms
    from sparx_mm.kernels.group_norm import triton as group_norm_triton
    from sparx_mm.kernels.layer_norm import triton as layer_norm_triton
    from sparx_mm.kernels.ss2d import triton as ss2d_triton

# of the largest value of a tensor. float32: sums of some thousand terms in another
# order; 16 bits: one rounding of what is written
FLOAT32 = 2e-6 if dispatch.is_interpreted() else 2e-5
TOLERANCES = {
    torch.float32: FLOAT32,
    torch.float16: torch.finfo(torch.float16).eps,
    torch.bfloat16: torch.finfo(torch.bfloat16).eps,
}


def grouped(groups):
    """Fix the options of a group norm and of its definition."""
    options = dict(num_groups=groups, eps=1e-5)
    return tuple(functools.partial(f, **options) for f in (group_norm, group_definition))


PER_POSITION = tuple(functools.partial(f, eps=1e-5) for f in (layer_norm, layer_definition))
NORMS = {'group_norm': grouped(1), 'three groups': grouped(3), 'layer_norm': PER_POSITION}
every = pytest.mark.parametrize('name', NORMS)
both = pytest.mark.parametrize('name', ['group_norm', 'layer_norm'])


@pytest.fixture(autouse=True)
def triton_backend(monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', 'triton')


@pytest.fixture
def device():
    return torch.device('cpu' if dispatch.is_interpreted() else 'cuda')


@pytest.fixture
def compare(device, evaluate, assert_near):
    """Return a function that compares a norm with its definition in float64."""

    def run(name, inputs, tolerance=None):
        function, definition = NORMS[name]
        doubles = [t.double() for t in inputs]
        dy = torch.randn(inputs[0].shape).to(inputs[0].dtype)
        wanted = evaluate(definition, doubles, dy)
        given = evaluate(function, [t.to(device) for t in inputs], dy.to(device))
        assert [t.dtype for t in given[1:]] == [t.dtype for t in inputs]
        given = [t.cpu() for t in given]
        assert_near(given[:2], wanted[:2], tolerance or TOLERANCES[inputs[0].dtype])
        # gradients of the parameters stay float32
        assert_near(given[2:], wanted[2:], tolerance or FLOAT32)

    return run


# one position; a block of channels and of positions that are not full; several of both
@pytest.mark.parametrize(
    'name, size',
    [
        *product(NORMS, [(1, 96, 1, 1), (3, 30, 7, 9), (1, 6, 1, 5)]),
        ('group_norm', (1, 30, 33, 47)),
        ('layer_norm', (1, 96, 33, 47)),
    ],
)
def test_output_and_every_gradient(name, size, compare):
    compare(name, norm_arguments(*size, torch.float32))


@every
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_16_bits(name, dtype, compare):
    compare(name, norm_arguments(2, 66, 7, 9, dtype))


@pytest.mark.parametrize('programs', [1, 4, 4096])
def test_every_way_to_share_a_map_out(programs, compare, monkeypatch):
    """Three tiles of positions: in one part, in two, the last not full, and in three."""
    monkeypatch.setattr(group_norm_triton, '_PROGRAMS', programs)
    chunk = group_norm_triton.make_chunk(1, 143, 2)
    assert chunk == {1: 192, 4: 128, 4096: 64}[programs]
    compare('group_norm', norm_arguments(1, 70, 13, 11, torch.float32))


def test_positions_in_several_chunks(compare, monkeypatch):
    monkeypatch.setattr(layer_norm_triton, '_PROGRAMS', 2)
    monkeypatch.setattr(layer_norm_triton, '_TILE', 1024)
    compare('layer_norm', norm_arguments(2, 70, 5, 7, torch.float32))


@pytest.mark.parametrize(
    'rows, length, blocks, wanted',
    [
        # T's first stage at 224, batch 128; two images of a detector
        (128, 3136, 2, 256),
        (2, 64000, 2, 512),
        # its last; a single image; more blocks than parts that are read
        (128, 49, 8, 64),
        (1, 49, 8, 64),
        (1, 1000, 300, 1024),
    ],
)
def test_plan(rows, length, blocks, wanted):
    chunk = group_norm_triton.make_chunk(rows, length, blocks)
    assert chunk == wanted
    assert -(-length // chunk) * blocks <= max(256, blocks)


@every
def test_values_far_from_zero(name, compare):
    """Sums of squares would lose the variance."""
    x, weight, bias = norm_arguments(2, 6, 5, 7, torch.float32)
    compare(name, [x + 1000, weight, bias], 3e-4)


@every
def test_first_positions_unlike_the_others(name, compare, monkeypatch):
    """What deviations are taken from is not amid the others."""
    monkeypatch.setattr(group_norm_triton, '_PROGRAMS', 1)
    x, weight, bias = norm_arguments(1, 6, 15, 13, torch.float32)
    x[..., :5, :] *= 1e-3
    x[..., 5:, :] += 100
    compare(name, [x, weight, bias], 1e-5)


def _between_nans(tensor):
    """Copy values and strides, with 4 KiB of NaN before and after."""
    margin = 1024
    storage = tensor.new_full((tensor.numel() + 2 * margin,), float('nan'))
    return storage.as_strided(tensor.shape, tensor.stride(), margin).copy_(tensor)


@every
def test_reads_and_writes_only_what_is_its_own(name, device, evaluate):
    """Inputs lie between NaNs, and all memory is NaN before it is written."""
    assert torch.empty(3, device=device).isnan().all()
    inputs = norm_arguments(2, 30, 7, 11, torch.float32, device)
    dy = torch.randn_like(inputs[0])
    plain = evaluate(NORMS[name][0], inputs, dy)
    inside = evaluate(NORMS[name][0], [_between_nans(t) for t in inputs], _between_nans(dy))
    for a, b in zip(plain, inside):
        assert b.isfinite().all()
        assert torch.equal(a, b)


@both
@pytest.mark.parametrize('layout', ['contiguous', 'channels_last', 'strided'])
def test_memory_format_is_kept(name, layout, device, evaluate):
    x, *parameters = norm_arguments(2, 6, 3, 4, torch.float32, device)
    dy = torch.randn_like(x)
    wanted = evaluate(NORMS[name][0], [x, *parameters], dy)
    memory_format = torch.channels_last if layout == 'channels_last' else torch.contiguous_format
    x = x.contiguous(memory_format=memory_format)
    if layout == 'strided':
        x = torch.stack([x, x], -1).flatten(3)[..., ::2]
        parameters = [torch.stack([t, t], -1).flatten()[::2] for t in parameters]
    given = evaluate(NORMS[name][0], [x, *parameters], dy)
    for a, b in zip(given, wanted):
        assert torch.equal(a, b)
    assert all(t.is_contiguous(memory_format=memory_format) for t in given[:2])


class _Copies(TorchDispatchMode):
    """Count of operators that copy a tensor of ``size`` elements."""

    def __init__(self, size):
        super().__init__()
        self.size, self.count = size, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.count += name in ('clone', 'copy_', '_to_copy') and out.numel() == self.size
        return out


class _NoKernel:
    def __getitem__(self, grid):
        return lambda *args, **kwargs: None


@pytest.mark.parametrize('layout, copies', [(torch.channels_last, 0), (torch.contiguous_format, 1)])
@pytest.mark.parametrize('name', ['group_norm', 'layer_norm', 'ss2d'])
def test_a_channels_last_map_is_not_copied(name, layout, copies, device, monkeypatch):
    """Neither on the way into a kernel nor out of it; any other map is, once each."""
    # the interpreter makes copies of its own
    for module in (norms, scans):
        for kernel in (n for n in vars(module) if n.endswith('_kernel')):
            monkeypatch.setattr(module, kernel, _NoKernel())
    if name == 'ss2d':
        backend, inputs = ss2d_triton, map_arguments(1, 40, 9, 11, 3, 1, torch.bfloat16, device)
    else:
        backend = group_norm_triton if name == 'group_norm' else layer_norm_triton
        inputs = norm_arguments(1, 40, 9, 11, torch.bfloat16, device)
        inputs += [1, 1e-5] if name == 'group_norm' else [1e-5]
    inputs[0] = inputs[0].contiguous(memory_format=layout)
    dy = torch.randn_like(inputs[0])
    with _Copies(dy.numel()) as forward:
        y, states = backend.forward(*inputs)
    with _Copies(dy.numel()) as backward:
        dx = backend.backward(dy, states, *inputs)[0]
    assert (forward.count, backward.count) == (copies, 2 * copies)
    for out in (y, dx):
        assert out.is_contiguous(memory_format=torch.channels_last)


@every
def test_a_nan_stays_in_its_image(name, device):
    x, *parameters = norm_arguments(2, 6, 3, 4, torch.float32, device)
    x[0, 2, 1, 1] = float('nan')
    y = NORMS[name][0](x, *parameters)
    wanted = NORMS[name][1](x, *parameters)
    assert torch.equal(y.isnan(), wanted.isnan())
    assert y[0].isnan().any() and y[1].isfinite().all()


@both
def test_two_runs_give_the_same_bits(name, device, evaluate):
    inputs = norm_arguments(2, 30, 7, 11, torch.bfloat16, device)
    dy = torch.randn_like(inputs[0])
    once, again = (evaluate(NORMS[name][0], inputs, dy) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, again))


@both
def test_opcheck(name, device):
    x, *parameters = norm_arguments(1, 6, 2, 3, torch.bfloat16, device)
    options = [3, 1e-5] if name == 'group_norm' else [1e-5]
    for layout in (torch.contiguous_format, torch.channels_last):
        inputs = [x.contiguous(memory_format=layout), *parameters]
        torch.library.opcheck(
            getattr(torch.ops.sparx_mm, name).default,
            [*(t.requires_grad_() for t in inputs), *options],
        )


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@both
def test_autocast_leaves_the_operator_alone(name, dtype, device, evaluate):
    inputs = norm_arguments(1, 6, 3, 4, dtype, device)
    dy = torch.ones_like(inputs[0])
    wanted = evaluate(NORMS[name][0], inputs, dy)
    with torch.autocast(device.type, dtype):
        given = evaluate(NORMS[name][0], inputs, dy)
    assert given[0].dtype == dtype
    assert all(torch.equal(a, b) for a, b in zip(given, wanted))


@both
def test_float64_runs_in_plain_torch(name, device, evaluate, assert_near):
    inputs = norm_arguments(2, 6, 3, 4, torch.float64, device)
    dy = torch.randn_like(inputs[0])
    assert_near(evaluate(NORMS[name][0], inputs, dy), evaluate(NORMS[name][1], inputs, dy), 1e-12)
