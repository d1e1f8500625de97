"""The kernels in use on this machine against plain torch in float64.

Seconds instead of the test-suite, for a card, driver or compiler that nobody
has tried yet.

Example:
    >>> from sparx_mm.kernels.selftest import run
    >>> all(check.ok for check in run('cpu'))
    True
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch

from . import dispatch, selective_scan, ss2d
from .selective_scan import _BACKENDS as SCAN_BACKENDS
from .selective_scan import cpu as scan_cpu
from .selective_scan.reference import selective_scan as scan_reference
from .ss2d import _BACKENDS as SS2D_BACKENDS
from .ss2d import cpu as ss2d_cpu
from .ss2d.reference import ss2d as ss2d_reference
from .testing import map_arguments, sequence_arguments

# of the largest value of a tensor. float32: sums of thousands of terms in
# another order; 16 bits: a rounding of what is summed and one of the sum
TOLERANCES = {
    torch.float32: 2e-5,
    torch.float16: 2 * torch.finfo(torch.float16).eps,
    torch.bfloat16: 2 * torch.finfo(torch.bfloat16).eps,
}
# positions for which the definition, a slow loop, is fast enough
_SHORT = 32


class Check(NamedTuple):
    """What came of an operator for one size and dtype.

    Attributes:
        operator (str): Its name.
        size (str): Sizes of its inputs.
        dtype (torch.dtype): Of its inputs.
        backend (str): What ran.
        error (float): The largest of the output and of every gradient,
            relative to the largest value of each.
        problem (str): What was raised, '' if nothing was.
    """

    operator: str
    size: str
    dtype: torch.dtype
    backend: str
    error: float
    problem: str = ''

    @property
    def ok(self) -> bool:
        """Whether they agree; a NaN agrees with nothing."""
        return not self.problem and self.error <= TOLERANCES[self.dtype]

    def __str__(self) -> str:
        dtype = str(self.dtype).replace('torch.', '')
        found = f'{self.error:.1e} of {TOLERANCES[self.dtype]:.1e}'
        return (
            f'{self.operator:<14}  {self.size:<29}  {dtype:<8}  '
            f'{self.backend:<6}  {self.problem or found}  '
            f'{"ok" if self.ok else "FAILED"}'
        )


class _Operator(NamedTuple):
    function: Callable
    backends: dict[str, str]
    # the definition, and the two-level scan for what is too long for it
    reference: Callable
    forward: Callable
    backward: Callable
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
_soft = functools.partial(functools.partial, delta_softplus=True)
_OPERATORS = dict(
    ss2d=_Operator(
        ss2d,
        SS2D_BACKENDS,
        ss2d_reference,
        ss2d_cpu.two_level_forward,
        ss2d_cpu.two_level_backward,
        map_arguments,
        'BDHWRN',
        _MAPS,
    ),
    selective_scan=_Operator(
        _soft(selective_scan),
        SCAN_BACKENDS,
        _soft(scan_reference),
        _soft(scan_cpu.two_level_forward),
        _soft(scan_cpu.two_level_backward),
        sequence_arguments,
        'BDLNG',
        _SEQUENCES,
    ),
)


def dtypes(device) -> list[torch.dtype]:
    """The dtypes that there are kernels for on a device."""
    if torch.device(device).type == 'cpu':
        return [torch.float32]
    bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return [t for t in TOLERANCES if t != torch.bfloat16 or bfloat16]


def _differentiate(function, inputs, dy):
    """The output and the gradient of each input."""
    inputs = [t.detach().requires_grad_() for t in inputs]
    y = function(*inputs)
    return [y.detach(), *torch.autograd.grad(y, inputs, dy)]


def _largest_error(operator, inputs, device):
    """The largest relative error of all that an operator computes."""
    dy = torch.randn_like(inputs[0])
    given = _differentiate(operator.function, [t.to(device) for t in inputs], dy.to(device))
    inputs, dy = [t.double() for t in inputs], dy.double()
    if inputs[0][0, 0].numel() <= _SHORT:
        wanted = _differentiate(operator.reference, inputs, dy)
    else:
        y, states = operator.forward(*inputs)
        wanted = [y, *operator.backward(dy, states, *inputs)]
    # a zero gradient must be met exactly
    errors = [
        (a.cpu().double() - b).abs().max()
        / b.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
        for a, b in zip(given, wanted)
    ]
    # unlike Python's max, it keeps a NaN
    return torch.stack(errors).max().item()


def run(device) -> Iterator[Check]:
    """Check both operators on a device, forward and every gradient.

    Args:
        device (torch.device or str): Where the kernels run.

    Yields:
        Check: As soon as it is done.

    Raises:
        ValueError: If SPARX_MM_KERNELS asks for the reference itself, or for
            what does not exist.
    """
    if dispatch.requested() == 'reference':
        raise ValueError(
            f"{dispatch.VARIABLE} is 'reference', which the self-test compares with; unset it"
        )
    precision = torch.get_float32_matmul_precision()
    # gradients in float32 are products, which may round to TF32 elsewhere
    torch.set_float32_matmul_precision('highest')
    try:
        for dtype in dtypes(device):
            for name, operator in _OPERATORS.items():
                for size in operator.sizes:
                    yield _check(name, operator, size, dtype, device)
    finally:
        torch.set_float32_matmul_precision(precision)


def _check(name, operator, size, dtype, device):
    text = ' '.join(map('{}={}'.format, operator.names, size))
    backend, error, problem = '', float('nan'), ''
    try:
        tensor = torch.empty(0, dtype=dtype, device=device)
        kernels = dispatch.select(operator.backends, tensor)
        backend = kernels.__name__.split('.')[-1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            inputs = operator.make_arguments(*size, dtype=dtype)
            error = _largest_error(operator, inputs, device)
    # whatever a compiler or a driver comes up with
    except Exception as raised:
        problem = ' '.join(f'{type(raised).__name__}: {raised}'.split())
    return Check(name, text, dtype, backend, error, problem)
