"""What all operators share: their registration with torch."""

import functools

import pytest
import torch
from interpreted import needs_interpreter
from torch.autograd import forward_ad

from sparx_mm.kernels import (
    depthwise_conv,
    depthwise_weight_gradient,
    group_norm,
    layer_norm,
    selective_scan,
    ss2d,
)
from sparx_mm.kernels.testing import (
    depthwise_arguments,
    map_arguments,
    norm_arguments,
    sequence_arguments,
)

# drawn once, whatever was drawn before
torch.manual_seed(0)
NORM = norm_arguments(2, 6, 3, 5, torch.float32)
# functions and their tensors
OPERATORS = {
    'depthwise_conv': (depthwise_conv, depthwise_arguments(2, 6, 3, 5, 3, torch.float32)),
    'group_norm': (functools.partial(group_norm, num_groups=2, eps=1e-5), NORM),
    'layer_norm': (functools.partial(layer_norm, eps=1e-5), NORM),
    'selective_scan': (
        functools.partial(selective_scan, delta_softplus=True),
        sequence_arguments(2, 6, 9, 2, 1, torch.float32),
    ),
    'ss2d': (ss2d, map_arguments(2, 6, 3, 5, 2, 1, torch.float32)),
}


@pytest.fixture(params=OPERATORS)
def case(request):
    function, tensors = OPERATORS[request.param]
    return function, [t.detach().clone().requires_grad_() for t in tensors]


@pytest.mark.parametrize(
    'backend',
    [
        'auto',
        'torch',
        pytest.param(
            'triton',
            marks=needs_interpreter,
        ),
    ],
)
def test_gradients_share_no_memory(case, backend, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', backend)
    function, tensors = case
    gradients = torch.autograd.grad(function(*tensors).sum(), tensors)
    assert len({g.untyped_storage().data_ptr() for g in gradients}) == len(tensors)


def test_a_double_backward_is_refused(case):
    function, tensors = case
    gradient, *_ = torch.autograd.grad(function(*tensors).sum(), tensors, create_graph=True)
    with pytest.raises(RuntimeError, match='has no double backward'):
        (gradient.sum() + tensors[0].sum()).backward()


def take_jvp(function, x):
    torch.func.jvp(function, (x,), (x,))


def take_jvp_of_a_gradient(function, x):
    torch.func.jvp(torch.func.grad(lambda x: function(x).sum()), (x,), (x,))


def take_jvp_of_vmap(function, x):
    torch.func.jvp(torch.func.vmap(function), (x[None],), (x[None],))


def take_jacobian(function, x):
    torch.func.jacfwd(function)(x)


def take_dual(function, x):
    with forward_ad.dual_level():
        function(forward_ad.make_dual(x, x))


@pytest.mark.parametrize(
    'take', [take_jvp, take_jvp_of_a_gradient, take_jvp_of_vmap, take_jacobian, take_dual]
)
def test_forward_mode_is_refused(case, take):
    function, tensors = case
    # of every tensor, those that are frozen too
    tensors = [t.detach() for t in tensors]
    for i, tensor in enumerate(tensors):
        with pytest.raises(RuntimeError, match='^sparx_mm::.* has no forward-mode derivatives'):
            take(lambda t, i=i: function(*tensors[:i], t, *tensors[i + 1 :]), tensor)


def test_forward_mode_of_the_gradient_is_refused(case):
    function, tensors = case
    y = function(*tensors)
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match='has no forward-mode'):
        torch.autograd.grad(y, tensors, forward_ad.make_dual(torch.ones_like(y), y.detach()))


@pytest.mark.parametrize('take', [take_jvp, take_jvp_of_vmap, take_jacobian, take_dual])
def test_forward_mode_of_a_weight_gradient_is_refused(take):
    dy, x = torch.rand(2, 2, 3, 9, 9)
    for function in (
        lambda t: depthwise_weight_gradient(t, x, 5),
        lambda t: depthwise_weight_gradient(dy, t, 5),
    ):
        with pytest.raises(RuntimeError, match='weight_gradient has no forward-mode derivatives'):
            take(function, x)


def test_forward_mode_beside_an_operator(case):
    function, tensors = case
    x, *others = (t.detach() for t in tensors)
    y = function(x, *others)
    _, tangent = torch.func.jvp(lambda w: w * function(x, *others), (y,), (y,))
    assert tangent.equal(y * y)


def test_forward_mode_of_the_reference(case, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', 'reference')
    function, tensors = case
    x, *others = (t.detach().double() for t in tensors)
    _, tangent = torch.func.jvp(lambda x: function(x, *others), (x,), (x,))
    after, before = (function(scale * x, *others) for scale in (1 + 1e-6, 1 - 1e-6))
    # the error of differences
    assert tangent.allclose((after - before) / 2e-6, rtol=1e-6, atol=1e-7)


def test_a_package_that_is_loaded_again(run_python):
    code = """if True:
        import importlib, sys, torch
        from sparx_mm.kernels import layer_norm, ss2d
        from sparx_mm.kernels.testing import norm_arguments
        tensors = norm_arguments(2, 6, 3, 5, torch.float32)
        before = layer_norm(*tensors, 1e-5)
        for name in ('layer_norm', 'ss2d'):
            importlib.reload(sys.modules['sparx_mm.kernels.' + name])
        after = sys.modules['sparx_mm.kernels.layer_norm'].layer_norm(*tensors, 1e-5)
        print(torch.equal(before, after))
    """
    assert run_python(code) == 'True\n'


@pytest.mark.parametrize('default', [torch.float64, torch.bfloat16])
@pytest.mark.parametrize('backend', ['auto', 'torch'])
def test_the_default_dtype_changes_nothing(case, backend, default, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', backend)
    function, tensors = case

    def run():
        y = function(*tensors)
        return [y, *torch.autograd.grad(y.sum(), tensors)]

    wanted = run()
    torch.set_default_dtype(default)
    try:
        given = run()
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(given, wanted):
        assert one.dtype == torch.float32 and one.equal(other)
