"""The Triton kernels against the definition, on a GPU or interpreted.

Without a GPU they run in Triton's interpreter, on the CPU and slowly, so the
sizes here are small; test_triton_gpu.py has the large ones.
"""

import functools
from itertools import product

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from sparx_mm.kernels import dispatch, selective_scan, ss2d
from sparx_mm.kernels._triton import launch
from sparx_mm.kernels.selective_scan.reference import selective_scan as scan_definition
from sparx_mm.kernels.ss2d.reference import ss2d as ss2d_definition
from sparx_mm.kernels.testing import map_arguments, sequence_arguments

pytestmark = pytest.mark.skipif(
    bool(dispatch.missing_triton()), reason=f'the kernels cannot run: {dispatch.missing_triton()}'
)

# of the largest value of a tensor. float32: a GPU's 2^x errs by 2^-22, which
# a decay near 1 repeats over the steps that a state lives for, 30 here.
# 16 bits: of what is summed over the map, and of the sum
TOLERANCES = {
    torch.float32: 2e-6 if dispatch.is_interpreted() else 2e-5,
    torch.float16: 1.5 * torch.finfo(torch.float16).eps,
    torch.bfloat16: 1.5 * torch.finfo(torch.bfloat16).eps,
}

# batch, channels, height, width, rank, state: single positions, rows and
# columns, both sides of the kept states' distance and of a block of channels,
# the widest rank, the most states
MAPS = [
    (1, 1, 1, 1, 1, 1),
    (2, 3, 1, 1, 2, 2),
    (1, 4, 1, 33, 1, 1),
    (1, 4, 15, 1, 1, 1),
    (2, 5, 4, 4, 3, 1),
    (1, 33, 1, 17, 6, 1),
    (1, 65, 3, 3, 2, 1),
    (1, 256, 2, 2, 5, 1),
    (1, 4, 2, 3, 64, 1),
    (1, 3, 1, 2, 1, 16),
]
# batch, channels, length, state, groups
SEQUENCES = [
    (1, 1, 1, 1, None),
    (2, 3, 17, 1, None),
    (1, 33, 5, 2, 1),
    (1, 66, 16, 1, 2),
    (2, 6, 9, 3, 3),
    (1, 2, 3, 16, None),
]


@pytest.fixture(autouse=True)
def triton_backend(monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', 'triton')
    # gradients in float32 are products
    assert torch.get_float32_matmul_precision() == 'highest'


@pytest.fixture
def device():
    return torch.device('cpu' if dispatch.is_interpreted() else 'cuda')


@pytest.fixture
def use_plan(monkeypatch):
    """Return a function that shares scans out in a given way, and records the plans."""
    used = []

    def use(**changes):
        make_plan = launch.make_plan

        def changed(batch, length, channels, groups, directions, *others):
            plan = make_plan(batch, length, channels, groups, directions, *others)
            plan = plan._replace(**changes)
            used.append(plan)
            return plan

        monkeypatch.setattr(launch, 'make_plan', changed)
        return used

    return use


@pytest.fixture
def compare(device, evaluate, assert_near):
    """Return a function that compares an operator with its definition in float64."""

    def run(function, definition, inputs):
        inputs = [t.to(device) for t in inputs]
        doubles = [t.cpu().double() for t in inputs]
        dy = torch.randn(definition(*doubles).shape).to(inputs[0].dtype)
        wanted = evaluate(definition, doubles, dy)
        given = evaluate(function, inputs, dy.to(device))
        assert [t.dtype for t in given[1:]] == [t.dtype for t in inputs]
        assert_near([t.cpu() for t in given], wanted, TOLERANCES[inputs[0].dtype])

    return run


soft_scan = functools.partial(selective_scan, delta_softplus=True)
soft_definition = functools.partial(scan_definition, delta_softplus=True)
diagonal_scan = functools.partial(ss2d, orders='diagonal')
diagonal_definition = functools.partial(ss2d_definition, orders='diagonal')


@pytest.mark.parametrize('size', MAPS)
def test_maps(size, compare):
    compare(ss2d, ss2d_definition, map_arguments(*size, torch.float32))


# a single row and column, several images and states
@pytest.mark.parametrize('size', [(1, 4, 1, 17, 1, 1), (1, 4, 15, 1, 1, 1), (2, 3, 3, 2, 1, 3)])
def test_diagonals_of_maps(size, compare):
    compare(diagonal_scan, diagonal_definition, map_arguments(*size, torch.float32))


def test_diagonals_of_16_bit_maps(compare):
    compare(diagonal_scan, diagonal_definition, map_arguments(1, 5, 4, 5, 3, 1, torch.bfloat16))


def test_snakes_on_maps(compare):
    scan, definition = (functools.partial(f, orders='snake') for f in (ss2d, ss2d_definition))
    compare(scan, definition, map_arguments(1, 3, 3, 4, 1, 2, torch.float32))


# all directions to a program, and one with several chunks
@pytest.mark.parametrize('splits, chunk', [(1, 35), (4, 16)])
def test_diagonals_shared_out(splits, chunk, compare, use_plan):
    use_plan(splits=splits, chunk=chunk)
    inputs = map_arguments(1, 3, 5, 7, 2, 1, torch.float32)
    compare(diagonal_scan, diagonal_definition, inputs)


@pytest.mark.parametrize('size', SEQUENCES)
def test_sequences(size, compare):
    compare(soft_scan, soft_definition, sequence_arguments(*size, torch.float32))


def test_steps_without_softplus(compare):
    inputs = sequence_arguments(2, 3, 18, 2, 1, torch.float32)
    # as given they are used as they are: positive
    inputs[1], inputs[6] = inputs[1].abs(), inputs[6].abs()
    compare(selective_scan, scan_definition, inputs)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_16_bits(dtype, compare):
    compare(ss2d, ss2d_definition, map_arguments(1, 33, 3, 3, 3, 1, dtype))
    compare(soft_scan, soft_definition, sequence_arguments(1, 33, 9, 2, 1, dtype))


def test_16_bit_map_with_a_float32_projection(compare):
    inputs = map_arguments(1, 5, 3, 4, 3, 1, torch.bfloat16)
    inputs[1] = inputs[1].float()
    compare(ss2d, ss2d_definition, inputs)


# one program for all directions, for two, for one; and several chunks, the
# last of them short
@pytest.mark.parametrize(
    'state, splits, chunk',
    [(1, 1, 35), (1, 2, 35), (1, 4, 35), (1, 4, 16), (2, 2, 35), (2, 4, 16)],
)
def test_every_way_to_share_a_map_out(state, splits, chunk, compare, use_plan):
    used = use_plan(splits=splits, chunk=chunk)
    inputs = map_arguments(1, 3, 5, 7, 2, state, torch.float32)
    compare(ss2d, ss2d_definition, inputs)
    assert len(used) == 2


@pytest.mark.parametrize('block', [32, 64, 128])
def test_every_width_of_a_program(block, compare, use_plan):
    use_plan(block=block)
    compare(ss2d, ss2d_definition, map_arguments(1, 70, 3, 3, 2, 1, torch.bfloat16))


def test_chunks_of_a_sequence(compare, use_plan):
    use_plan(splits=1, chunk=16)
    compare(soft_scan, soft_definition, sequence_arguments(1, 6, 35, 2, 2, torch.float32))


# a gradient that a chunk hands on to the one before it must not die out
def test_state_that_lives_for_many_chunks(compare, use_plan):
    use_plan(splits=4, chunk=16)
    inputs = map_arguments(1, 3, 5, 8, 2, 1, torch.float32)
    inputs[3] -= 6
    compare(ss2d, ss2d_definition, inputs)


@pytest.fixture
def allocated(monkeypatch):
    """Let tensors that are made empty lie between NaNs, and list the memory of each."""
    memory = []

    def between_nans(make):
        def call(*args, **kwargs):
            tensor, storage = _between_nans(make(*args, **kwargs))
            memory.append(storage)
            return tensor

        return call

    monkeypatch.setattr(torch, 'empty_like', between_nans(torch.empty_like))
    monkeypatch.setattr(torch.Tensor, 'new_empty', between_nans(torch.Tensor.new_empty))
    return memory


@pytest.mark.parametrize('chunk', [9, 16])
def test_reads_and_writes_only_what_is_its_own(chunk, device, use_plan, allocated):
    """Inputs and outputs lie between NaNs, and all memory is NaN before it is written."""
    assert torch.empty(3, device=device).isnan().all()
    use_plan(splits=4, chunk=chunk)
    inputs = map_arguments(1, 5, 3, 3 if chunk == 9 else 7, 3, 1, torch.float32, device)
    inputs[0] = inputs[0].to(memory_format=torch.channels_last)
    inside = [_between_nans(t)[0] for t in inputs]
    results = []
    for arguments in (inputs, inside):
        arguments = [t.detach().requires_grad_() for t in arguments]
        y = ss2d(*arguments)
        results.append([y, *torch.autograd.grad(y.square().sum(), arguments)])
    for plain, poisoned in zip(*results):
        assert poisoned.isfinite().all()
        assert torch.equal(plain, poisoned)
    # y, dx and what kernels hand on
    assert len(allocated) > 10
    for storage in allocated:
        assert torch.cat([storage[:_MARGIN], storage[-_MARGIN:]]).isnan().all()


_MARGIN = 1024


def _between_nans(tensor):
    """Copy values and strides, with 4 KiB of NaN before and after; return the memory too."""
    storage = tensor.new_full((tensor.numel() + 2 * _MARGIN,), float('nan'))
    inside = storage.as_strided(tensor.shape, tensor.stride(), _MARGIN)
    return inside.copy_(tensor), storage


@pytest.mark.parametrize('layout', ['contiguous', 'channels_last', 'strided'])
def test_memory_format_is_kept(layout, device, evaluate):
    inputs = map_arguments(2, 5, 2, 3, 2, 1, torch.float32, device)
    wanted = evaluate(ss2d, inputs, torch.ones_like(inputs[0]))
    x, dt_B_C, *parameters = inputs
    memory_format = torch.contiguous_format
    if layout == 'channels_last':
        memory_format = torch.channels_last
        x = x.to(memory_format=memory_format)
    if layout == 'strided':
        x = torch.stack([x, x], -1).flatten(3)[..., ::2]
        dt_B_C, *parameters = (
            t.transpose(0, 1).contiguous().transpose(0, 1) for t in (dt_B_C, *parameters)
        )
    given = evaluate(ss2d, [x, dt_B_C, *parameters], torch.ones_like(inputs[0]))
    for a, b in zip(given, wanted):
        assert torch.equal(a, b)
    assert given[0].is_contiguous(memory_format=memory_format)
    assert given[1].is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('where', ['x', 'dt', 'B', 'C'])
def test_non_finite_values_reach_the_output(where, value, device):
    inputs = map_arguments(1, 5, 3, 2, 3, 1, torch.float32)
    if where == 'x':
        inputs[0][0, 3, 1, 1] = value
    else:
        inputs[1][0, 1, 1, :, dict(dt=1, B=3, C=4)[where]] = value
    wanted = ss2d_definition(*inputs).isfinite()
    given = ss2d(*(t.to(device) for t in inputs)).cpu()
    # z = -inf is a step of zero: a finite result
    assert where == 'dt' or not wanted.all()
    assert torch.equal(given.isfinite(), wanted)


@pytest.mark.parametrize('bias', [-100.0, -20.0, -8.0, 20.0, 40.0, 200.0])
def test_step_sizes_far_from_one(bias, device, evaluate):
    inputs = map_arguments(1, 5, 3, 4, 3, 1, torch.float32)
    inputs[3] += bias
    dy = torch.randn_like(inputs[0])
    wanted = evaluate(ss2d_definition, [t.double() for t in inputs], dy)
    given = evaluate(ss2d, [t.to(device) for t in inputs], dy.to(device))
    for a, b in zip(given, wanted):
        error = (a.cpu() - b).abs().max().item()
        # the exponent of a decay is rounded in proportion to its size, and
        # what underflows to zero in float32 has no relative error
        assert error <= max(1e-4 * b.abs().max().item(), 1e-30)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('scale', [1e-4, 4000.0])
def test_gradients_of_16_bits_keep_their_range(scale, dtype, device, evaluate):
    """Sums over a map and small step sizes leave the range of float16."""
    inputs = map_arguments(1, 4, 4, 8, 2, 1, dtype)
    if scale < 1:
        # initialisation's: steps of a thousandth
        inputs[3].fill_(-6.9)
    else:
        inputs[0], inputs[1] = inputs[0].abs(), inputs[1].abs()
    dy = torch.full_like(inputs[0], scale)
    wanted = evaluate(ss2d_definition, [t.double() for t in inputs], dy)
    given = evaluate(ss2d, [t.to(device) for t in inputs], dy.to(device))
    # of the parameters, which are float32
    for a, b in zip(given[3:], wanted[3:]):
        error = (a.cpu() - b).abs().max().item()
        assert error <= TOLERANCES[dtype] * b.abs().max().item()


def test_idle_lanes_add_nothing(device, evaluate):
    """A position without a step, of a block that is not full."""
    inputs = map_arguments(1, 5, 2, 3, 2, 1, torch.float32)
    inputs[1][0, 1, 1, :, 0] = -float('inf')
    inputs[2].abs_()
    dy = torch.ones_like(inputs[0])
    wanted = evaluate(ss2d_definition, inputs, dy)[2][..., 2:]
    given = evaluate(ss2d, [t.to(device) for t in inputs], dy.to(device))
    given = given[2].cpu()[..., 2:]
    assert wanted.isfinite().all()
    torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-5)


def test_two_runs_give_the_same_bits(device, evaluate, use_plan):
    use_plan(splits=4, chunk=16)
    inputs = map_arguments(1, 5, 5, 4, 2, 1, torch.float32, device)
    once, again = (evaluate(ss2d, inputs) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, again))


def test_images_do_not_depend_on_their_batch(device, use_plan):
    use_plan(splits=2)
    inputs = map_arguments(3, 5, 3, 4, 2, 1, torch.float32, device)
    every = ss2d(*inputs)
    for b in range(3):
        alone = ss2d(inputs[0][b : b + 1], inputs[1][b : b + 1], *inputs[2:])
        assert torch.equal(every[b : b + 1], alone)


@pytest.mark.parametrize(
    'dtype, memory_format',
    [(torch.float32, torch.contiguous_format), (torch.bfloat16, torch.channels_last)],
)
def test_opcheck(dtype, memory_format, device):
    inputs = map_arguments(1, 3, 2, 3, 2, 1, dtype, device)
    inputs[0] = inputs[0].to(memory_format=memory_format)
    torch.library.opcheck(torch.ops.sparx_mm.ss2d.default, [t.requires_grad_() for t in inputs])
    inputs = sequence_arguments(1, 3, 4, 2, 1, dtype, device)
    torch.library.opcheck(
        torch.ops.sparx_mm.selective_scan.default, [*(t.requires_grad_() for t in inputs), True]
    )


def test_compiles_whole_with_dynamic_sizes(device, evaluate, assert_near):
    compiled = torch.compile(ss2d, backend='aot_eager', fullgraph=True, dynamic=True)
    for size in [(2, 3, 2, 3, 2, 1), (3, 3, 3, 2, 2, 1)]:
        inputs = map_arguments(*size, torch.float32, device)
        dy = torch.ones_like(inputs[0])
        assert_near(evaluate(compiled, inputs, dy), evaluate(ss2d, inputs, dy), 0)


def test_checkpointing(device, evaluate, assert_near):
    inputs = map_arguments(1, 5, 3, 4, 2, 1, torch.float32, device)
    dy = torch.ones_like(inputs[0])
    given = evaluate(lambda *t: checkpoint(ss2d, *t, use_reentrant=False), inputs, dy)
    assert_near(given, evaluate(ss2d, inputs, dy), 0)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_autocast_leaves_the_operator_alone(dtype, device, evaluate):
    """16-bit maps come in; steps and states stay float32."""
    inputs = map_arguments(1, 5, 3, 4, 2, 1, dtype, device)
    dy = torch.ones_like(inputs[0])
    wanted = evaluate(ss2d, inputs, dy)
    with torch.autocast(device.type, dtype):
        given = evaluate(ss2d, inputs, dy)
    assert all(torch.equal(a, b) for a, b in zip(given, wanted))


def test_float64_runs_in_plain_torch(device, evaluate, assert_near):
    inputs = map_arguments(1, 5, 3, 4, 2, 1, torch.float64, device)
    dy = torch.ones_like(inputs[0])
    assert_near(evaluate(ss2d, inputs, dy), evaluate(ss2d_definition, inputs, dy), 1e-12)


@pytest.mark.parametrize('shape', [(0, 3, 4, 5), (2, 3, 0, 5)])
def test_empty_maps(shape, device, evaluate):
    inputs = map_arguments(*shape, 2, 1, torch.float32, device)
    y, *gradients = evaluate(ss2d, inputs, torch.ones_like(inputs[0]))
    assert y.shape == shape
    assert all(not t.any() for t in gradients)


# stages of SparX-Mamba-T, S and B
@pytest.mark.parametrize('channels, rank', [(192, 6), (640, 20), (1088, 34), (1272, 40)])
def test_memory_saved_for_backward(channels, rank, device):
    """At most 4 bytes for each element of a 16-bit map."""
    saved = {}

    def pack(tensor):
        saved[id(tensor)] = tensor.numel() * tensor.element_size()
        return tensor

    # shapes alone: the sizes that matter take too long in the interpreter
    with FakeTensorMode():
        inputs = map_arguments(2, channels, 56, 56, rank, 1, torch.bfloat16, device)
        inputs = [t.requires_grad_() for t in inputs]
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            ss2d(*inputs)
    parameters = sum(4 * t.numel() for t in inputs[2:])
    assert len(saved) == 7
    assert sum(saved.values()) - parameters <= 4 * inputs[0].numel()


@pytest.mark.parametrize(
    'batch, length, channels, expected',
    [
        # enough images for one program to take all directions
        (512, 196, 640, (128, 1, 196)),
        (256, 196, 640, (128, 2, 196)),
        (128, 3136, 192, (64, 4, 3136)),
        # a detector's two images
        (2, 64000, 192, (64, 4, 736)),
        (2, 1000, 1024, (128, 4, 64)),
        # too short for chunks
        (1, 49, 1024, (128, 4, 49)),
        (1, 1, 3, (32, 4, 1)),
    ],
)
def test_plan_on_132_multiprocessors(batch, length, channels, expected):
    plan = launch.make_plan(batch, length, channels, 1, 4, 132, 128)
    assert plan == expected


def test_plan_fills_a_gpu_with_no_more_than_it_needs():
    cases = product(
        (1, 2, 7, 300), (1, 100, 5000), (1, 96, 240, 1272), (1, 4), (1, 4), (1, 30, 148)
    )
    for batch, length, channels, groups, directions, processors in cases:
        block, splits, chunk = launch.make_plan(
            batch, length, channels, groups, directions, processors, 128
        )
        programs = batch * groups * -(-channels // block)
        wanted = processors * launch._PROGRAMS
        assert chunk == length or chunk % launch.STATE_STRIDE == 0
        if chunk < length:
            assert splits == directions and programs * splits < wanted
            assert programs * splits * (-(-length // chunk) - 1) < wanted
        elif splits > 1:
            assert programs * (splits // 2) < wanted
