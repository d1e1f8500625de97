"""Self-test: the kernels in use on this machine against plain torch in float64.

It takes seconds, unlike the test-suite, and is for a card, driver or compiler that
nobody has tried yet.

Example:
    >>> from sparx_mm.kernels.selftest import run
    >>> all(check.ok for check in run('cpu'))
    True
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch

from . import depthwise_conv, dispatch, group_norm, layer_norm, selective_scan, ss2d
from .depthwise_conv.reference import depthwise_conv as depthwise_conv_reference
from .group_norm.reference import group_norm as group_norm_reference
from .layer_norm.reference import layer_norm as layer_norm_reference
from .selective_scan import torch as scan_torch
from .selective_scan.reference import selective_scan as scan_reference
from .ss2d import torch as ss2d_torch
from .ss2d.reference import ss2d as ss2d_reference
from .testing import (
    depthwise_arguments,
    map_arguments,
    norm_arguments,
    run_backend,
    sequence_arguments,
)

# relative to the largest value of a tensor. float32: sums of thousands of terms in
# another order; 16 bits: one rounding of the terms and one of their sum
TOLERANCES = {
    torch.float32: 2e-5,
    torch.float16: 2 * torch.finfo(torch.float16).eps,
    torch.bfloat16: 2 * torch.finfo(torch.bfloat16).eps,
}
# most positions for which the definition, a slow loop, is fast enough
_SHORT = 32


class Check(NamedTuple):
    """Result of checking an operator with one size and dtype.

    Attributes:
        operator (str): Name of the operator, and of its form if there are several: ``'ss2d snake'``.
        size (str): Sizes of its inputs.
        dtype (torch.dtype): Dtype of its inputs.
        backend (str): Backend that ran, '' if none could.
        error (float): Largest error of the output and of every gradient, relative
            to the largest value of each.
        problem (str): Message of what was raised, '' if nothing was.
    """

    operator: str
    size: str
    dtype: torch.dtype
    backend: str
    error: float
    problem: str = ''

    @property
    def ok(self) -> bool:
        """True if the error is within the tolerance, which a NaN never is."""
        return not self.problem and self.error <= TOLERANCES[self.dtype]

    def __str__(self) -> str:
        dtype = str(self.dtype).replace('torch.', '')
        found = f'{self.error:.1e} of {TOLERANCES[self.dtype]:.1e}'
        return (
            f'{self.operator:<20}  {self.size:<29}  {dtype:<8}  '
            f'{self.backend:<6}  {self.problem or found}  '
            f'{"ok" if self.ok else "FAILED"}'
        )


class _Operator(NamedTuple):
    function: Callable
    # the definition, and what is as exact and fast enough for long inputs: of a scan
    # the two-level form
    reference: Callable
    fast_reference: Callable
    make_arguments: Callable
    names: str
    sizes: Sequence[Sequence[int]]


# a single position, several states, odd sizes, several chunks, more images
# than a GPU has multiprocessors
_MAPS = (
    (1, 96, 1, 1, 6, 1),
    (2, 40, 3, 5, 6, 8),
    (2, 96, 33, 47, 6, 1),
    (1, 192, 64, 64, 20, 1),
    (1200, 32, 4, 4, 6, 1),
)
_SEQUENCES = (
    (1, 96, 1, 1, 1),
    (2, 40, 17, 8, 2),
    (2, 96, 1551, 1, 1),
    (1, 192, 4096, 8, 1),
)
_NORMED = (
    (1, 96, 1, 1),
    (3, 30, 7, 9),
    (2, 96, 33, 47),
    (16, 1024, 7, 7),
)


_CONVOLVED = (
    (1, 96, 1, 1, 3),
    (3, 30, 7, 9, 5),
    (2, 96, 33, 47, 3),
    (16, 256, 7, 7, 5),
)


def _beside_scans(
    function: Callable,
    reference: Callable,
    make_arguments: Callable,
    names: str,
    sizes: Sequence[Sequence[int]],
    **options: float | str,
) -> _Operator:
    function, reference = (functools.partial(f, **options) for f in (function, reference))
    return _Operator(function, reference, reference, make_arguments, names, sizes)


def _in_orders(orders: str) -> _Operator:
    return _Operator(
        functools.partial(ss2d, orders=orders),
        functools.partial(ss2d_reference, orders=orders),
        lambda *tensors: run_backend(ss2d_torch, *tensors, orders),
        map_arguments,
        'BDHWRN',
        _MAPS[1:3],
    )


def _positive_steps(*size: int, dtype: torch.dtype) -> list[torch.Tensor]:
    u, delta, *others = sequence_arguments(*size, dtype=dtype)
    # with the bias, which is the last one
    *others, bias = others
    return [u, delta.abs(), *others, bias.abs()]


_OPERATORS = dict(
    ss2d=_Operator(
        ss2d,
        ss2d_reference,
        functools.partial(run_backend, ss2d_torch),
        map_arguments,
        'BDHWRN',
        _MAPS,
    ),
    **{'ss2d diagonal': _in_orders('diagonal'), 'ss2d snake': _in_orders('snake')},
    selective_scan=_Operator(
        functools.partial(selective_scan, delta_softplus=True),
        functools.partial(scan_reference, delta_softplus=True),
        lambda *tensors: run_backend(scan_torch, *tensors, True),
        sequence_arguments,
        'BDLNG',
        _SEQUENCES,
    ),
    group_norm=_beside_scans(
        group_norm,
        group_norm_reference,
        norm_arguments,
        'BCHW',
        _NORMED,
        num_groups=1,
        eps=1e-5,
    ),
    layer_norm=_beside_scans(
        layer_norm, layer_norm_reference, norm_arguments, 'BCHW', _NORMED, eps=1e-5
    ),
    depthwise_conv=_beside_scans(
        depthwise_conv,
        depthwise_conv_reference,
        depthwise_arguments,
        'BCHWK',
        _CONVOLVED,
        residual=True,
        activation='gelu',
    ),
)


# forms that compile to code of their own
_OPERATORS |= {
    'selective_scan plain': _OPERATORS['selective_scan']._replace(
        function=selective_scan,
        reference=scan_reference,
        fast_reference=lambda *tensors: run_backend(scan_torch, *tensors, False),
        make_arguments=_positive_steps,
        sizes=_SEQUENCES[:2],
    ),
    'group_norm thirds': _beside_scans(
        group_norm,
        group_norm_reference,
        norm_arguments,
        'BCHW',
        _NORMED[:2],
        num_groups=3,
        eps=1e-5,
    ),
    'depthwise_conv silu': _beside_scans(
        depthwise_conv,
        depthwise_conv_reference,
        depthwise_arguments,
        'BCHWK',
        _CONVOLVED[:2],
        residual=False,
        activation='silu',
    ),
}


def dtypes(device: torch.device | str) -> list[torch.dtype]:
    """List the dtypes that there are kernels for on a device."""
    if torch.device(device).type == 'cpu':
        return [torch.float32]
    bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return [t for t in TOLERANCES if t != torch.bfloat16 or bfloat16]


def _differentiate(
    function: Callable, inputs: Sequence[torch.Tensor], dy: torch.Tensor
) -> list[torch.Tensor]:
    """Compute the output and the gradient of each input."""
    inputs = [t.detach().requires_grad_() for t in inputs]
    y = function(*inputs)
    return [y.detach(), *torch.autograd.grad(y, inputs, dy)]


def _largest_error(
    operator: _Operator, inputs: Sequence[torch.Tensor], device: torch.device | str
) -> float:
    """Find the largest relative error of all that an operator computes."""
    dy = torch.randn_like(inputs[0])
    given = _differentiate(operator.function, [t.to(device) for t in inputs], dy.to(device))
    inputs, dy = [t.double() for t in inputs], dy.double()
    short = inputs[0][0, 0].numel() <= _SHORT
    wanted = _differentiate(operator.reference if short else operator.fast_reference, inputs, dy)
    # the clamp keeps zero gradients, which must be met exactly
    errors = [
        (a.cpu().double() - b).abs().max()
        / b.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
        for a, b in zip(given, wanted)
    ]
    # torch's max, because it keeps a NaN, unlike Python's
    return torch.stack(errors).max().item()


def run(device: torch.device | str) -> Iterator[Check]:
    """Check all operators on a device, forward and every gradient.

    Args:
        device (torch.device or str): Device that the kernels run on.

    Yields:
        Check: The result of each check, as soon as it is done.

    Raises:
        ValueError: If SPARX_MM_KERNELS asks for the reference itself, or for
            a backend that does not exist.
    """
    if dispatch.requested() == 'reference':
        raise ValueError(
            f"{dispatch.ENV_VAR} is 'reference', which the self-test compares with; unset it"
        )
    precision = torch.get_float32_matmul_precision()
    # not TF32, because gradients in float32 are matrix products
    torch.set_float32_matmul_precision('highest')
    try:
        for dtype in dtypes(device):
            for name, operator in _OPERATORS.items():
                for size in operator.sizes:
                    yield _check(name, operator, size, dtype, device)
    finally:
        torch.set_float32_matmul_precision(precision)


def _check(
    name: str,
    operator: _Operator,
    size: Sequence[int],
    dtype: torch.dtype,
    device: torch.device | str,
) -> Check:
    text = ' '.join(map('{}={}'.format, operator.names, size))
    backend, error, problem = '', float('nan'), ''
    try:
        tensor = torch.empty(0, dtype=dtype, device=device)
        module = dispatch.select(f'{__package__}.{name.split()[0]}', tensor).__name__
        backend = module.rpartition('.')[2]
        with torch.random.fork_rng(devices=[]):
            # not torch.manual_seed, which seeds GPUs too
            torch.default_generator.manual_seed(0)
            inputs = operator.make_arguments(*size, dtype=dtype)
            error = _largest_error(operator, inputs, device)
    # any exception, because compilers and drivers raise their own
    except Exception as raised:
        problem = ' '.join(f'{type(raised).__name__}: {raised}'.split())
    return Check(name, text, dtype, backend, error, problem)
