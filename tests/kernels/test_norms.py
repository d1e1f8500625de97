"""The norms as operators: definition, torch's own, and what is refused."""

import functools

import pytest
import torch
import torch.nn.functional as F

from sparx_mm.kernels import dispatch, group_norm, layer_norm
from sparx_mm.kernels.group_norm.reference import group_norm as group_definition
from sparx_mm.kernels.layer_norm.reference import layer_norm as layer_definition
from sparx_mm.kernels.testing import norm_arguments


def of_three(function):
    """Fix the options of a group norm: three groups."""
    return functools.partial(function, num_groups=3, eps=1e-5)


def of_channels(function):
    """Fix the option of a layer norm."""
    return functools.partial(function, eps=1e-5)


def torch_group_norm(x, weight, bias):
    return F.group_norm(x, 3, weight, bias, 1e-5)


def torch_layer_norm(x, weight, bias):
    return F.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, 1e-5).movedim(-1, 1)


# operator, definition, and torch's function of the same name
NORMS = {
    'group_norm': (of_three(group_norm), of_three(group_definition), torch_group_norm),
    'layer_norm': (of_channels(layer_norm), of_channels(layer_definition), torch_layer_norm),
}
every = pytest.mark.parametrize('name', NORMS)


@every
@pytest.mark.parametrize('size', [(1, 6, 1, 1), (2, 6, 3, 5)])
def test_the_definition_is_torch_s(name, size, evaluate, assert_near):
    _, definition, wanted = NORMS[name]
    inputs = norm_arguments(*size)
    assert_near(evaluate(definition, inputs), evaluate(wanted, inputs), 1e-10)


@every
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_plain_torch(name, layout, dtype, evaluate, assert_near):
    operator, definition, _ = NORMS[name]
    x, weight, bias = norm_arguments(2, 6, 3, 5, dtype)
    x = x.contiguous(memory_format=layout)
    wanted = evaluate(definition, [t.double() for t in (x, weight, bias)])
    given = evaluate(operator, [x, weight, bias])
    assert [t.dtype for t in given] == [dtype, dtype, weight.dtype, weight.dtype]
    assert all(t.is_contiguous(memory_format=layout) for t in given[:2])
    # gradients are drawn in float64 and rounded to the output's dtype
    assert_near(given, wanted, {torch.float64: 1e-12}.get(dtype, 2 * torch.finfo(dtype).eps + 2e-6))


@every
@pytest.mark.parametrize('backend', ['auto', 'numba', 'torch', 'reference'])
def test_every_backend_on_a_cpu(name, backend, monkeypatch):
    operator, definition, _ = NORMS[name]
    monkeypatch.setenv('SPARX_MM_KERNELS', backend)
    inputs = norm_arguments(2, 6, 3, 5, torch.float32)
    torch.testing.assert_close(operator(*inputs), definition(*inputs), rtol=1e-5, atol=1e-5)


@every
def test_registered_as_torch_asks(name):
    inputs = [t.requires_grad_() for t in norm_arguments(2, 6, 3, 5, torch.float32)]
    options = [3, 1e-5] if name == 'group_norm' else [1e-5]
    operator = getattr(torch.ops.sparx_mm, name).default
    for layout in (torch.contiguous_format, torch.channels_last):
        x = inputs[0].detach().contiguous(memory_format=layout).requires_grad_()
        torch.library.opcheck(operator, [x, *inputs[1:], *options])


@every
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_autocast_changes_no_bit(name, dtype, evaluate):
    inputs = norm_arguments(2, 6, 3, 5, dtype)
    wanted = evaluate(NORMS[name][0], inputs)
    with torch.autocast('cpu', dtype):
        given = evaluate(NORMS[name][0], inputs)
    assert all(torch.equal(a, b) for a, b in zip(given, wanted))


@every
@pytest.mark.parametrize('shape', [(0, 6, 4, 5), (2, 6, 0, 5)])
def test_empty_maps(name, shape, evaluate):
    inputs = norm_arguments(*shape, torch.float32)
    y, *gradients = evaluate(NORMS[name][0], inputs, torch.ones_like(inputs[0]))
    assert y.shape == shape
    assert all(not t.any() for t in gradients)


@every
@pytest.mark.parametrize(
    'change, message',
    [
        (dict(x=torch.ones(2, 6, 3)), r'x must be \(B, C, H, W\), got \(2, 6, 3\)'),
        (dict(weight=torch.ones(5)), r'weight must be \(C=6\), got \(5,\)'),
        (dict(bias=None), 'bias must be a tensor, got NoneType'),
        (dict(x=torch.ones(2, 0, 3, 5), weight=torch.ones(0), bias=torch.ones(0)), 'C must be at'),
        (dict(weight=torch.ones(6).half()), 'weight must be torch.float32 with a torch.float32 x'),
        (dict(x=torch.ones(2, 6, 3, 5).int()), 'x must be float16, bfloat16, float32 or float64'),
    ],
)
def test_what_does_not_fit_is_refused(name, change, message):
    tensors = dict(zip(('x', 'weight', 'bias'), norm_arguments(2, 6, 3, 5, torch.float32)))
    with pytest.raises(ValueError, match=f'{name}: {message}'):
        NORMS[name][0](**{**tensors, **change})


@pytest.mark.parametrize('groups', [0, 4])
def test_groups_that_do_not_divide(groups):
    with pytest.raises(ValueError, match=f'num_groups must be a divisor .*, got {groups} and 6'):
        group_norm(*norm_arguments(2, 6, 3, 5, torch.float32), groups, 1e-5)


@pytest.mark.parametrize(
    'name, device, dtype, wanted',
    [
        ('auto', 'cuda', torch.float32, True),
        ('auto', 'cuda', torch.bfloat16, True),
        ('auto', 'cuda', torch.float64, False),
        ('auto', 'cpu', torch.float32, False),
        ('auto', 'meta', torch.float32, False),
        ('triton', 'cuda', torch.float16, True),
        ('torch', 'cuda', torch.float32, False),
        ('reference', 'cuda', torch.float32, False),
    ],
)
def test_where_triton_is_used(name, device, dtype, wanted, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', name)
    monkeypatch.setattr(dispatch, 'missing_triton', lambda device: '')
    with torch._subclasses.FakeTensorMode():
        tensor = torch.empty(1, device=device, dtype=dtype)
    assert dispatch.uses_triton(tensor) == wanted


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('name', ['auto', 'triton'])
def test_a_gpu_without_triton_has_another_way(name, monkeypatch):
    """Neither a warning nor an error."""
    monkeypatch.setenv('SPARX_MM_KERNELS', name)
    monkeypatch.setattr(dispatch, 'missing_triton', lambda device: 'no luck')
    dispatch._warn_once.cache_clear()
    with torch._subclasses.FakeTensorMode():
        assert not dispatch.uses_triton(torch.empty(1, device='cuda'))
