"""Choice of the backend that runs an operator, and reasons against the others.

``auto`` takes the fastest backend that is available for a tensor. The environment
variable SPARX_MM_KERNELS overrides it and is read at every call:

- ``triton``: GPU kernels for float16, bfloat16 and float32; float64 runs in
  ``torch``;
- ``numba``: CPU kernels in float32, to which 16 bits are widened, of the scans and of
  the weight gradient of large depthwise convolutions;
- ``torch``: a two-level scan in plain torch operations, and torch's own norms and
  convolutions, for any device and dtype;
- ``reference``: the definition, for a scan a slow loop.
"""

import functools
import importlib
import importlib.util
import os
import warnings
from types import ModuleType

import torch

ENV_VAR = 'SPARX_MM_KERNELS'
BACKENDS = ('triton', 'numba', 'torch', 'reference')
CHOICES = ('auto', *BACKENDS)
KERNEL_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
# the oldest version that the kernels are known to compile with
TRITON_VERSION = (3, 6)


def requested() -> str:
    """Read from the environment which backend is asked for.

    Returns:
        str: One of ``CHOICES``.

    Raises:
        ValueError: If the variable holds something else.
    """
    name = os.environ.get(ENV_VAR) or 'auto'
    if name not in CHOICES:
        raise ValueError(f'{ENV_VAR} is {name!r}; allowed are {", ".join(CHOICES)}')
    return name


@functools.cache
def _missing_package(name: str) -> str:
    """Return the reason why a package cannot be imported, '' if it can."""
    try:
        importlib.import_module(name)
    # OSError: llvmlite, where its library does not load
    except (ImportError, OSError) as error:
        if getattr(error, 'name', None) == name:
            return f'{name} is not installed'
        # such as a NumPy that is too new for this numba
        return f'{name} does not import ({error})'
    return ''


@functools.cache
def _missing_triton_package() -> str:
    missing = _missing_package('triton')
    if missing:
        return missing
    import triton

    version = tuple(int(n) for n in triton.__version__.split('.')[:2])
    if version < TRITON_VERSION:
        return 'triton {} is older than {}.{}'.format(triton.__version__, *TRITON_VERSION)
    return ''


@functools.cache
def _missing_gpu(device: torch.device | None) -> str:
    if not torch.cuda.is_available():
        return 'torch finds no GPU'
    if torch.version.hip:
        return ''
    major, minor = torch.cuda.get_device_capability(device)
    if major < 8:
        return f'the GPU has compute capability {major}.{minor}, Triton needs 8.0'
    return ''


def is_interpreted() -> bool:
    """Return True if Triton interprets its kernels on the CPU, slowly, for tests."""
    if _missing_triton_package():
        return False
    import triton

    return triton.knobs.runtime.interpret


def missing_triton(device: torch.device | None = None) -> str:
    """Say why the Triton kernels cannot run.

    Args:
        device (torch.device, optional): Device of the tensors. Default: the
            current GPU.

    Returns:
        str: The reason, empty if they can.
    """
    if _missing_triton_package():
        return _missing_triton_package()
    # the interpreter takes tensors from any device
    if is_interpreted():
        return ''
    if device is not None and device.type != 'cuda':
        return f'the tensors are on {device.type}'
    return _missing_gpu(device)


def missing_numba(tensor: torch.Tensor | None = None) -> str:
    """Say why the numba kernels cannot run.

    Args:
        tensor (Tensor, optional): The operator's first argument; float16, bfloat16 or
            float32 on the CPU is taken. Default: such a tensor.

    Returns:
        str: The reason, empty if they can.
    """
    if tensor is not None and tensor.device.type != 'cpu':
        return f'the tensors are on {tensor.device.type}'
    if tensor is not None and tensor.dtype == torch.float64:
        return 'the tensors are float64'
    return _missing_package('numba')


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message)


def _fastest(tensor: torch.Tensor) -> str:
    if tensor.is_cuda:
        missing = missing_triton(tensor.device)
        if not missing:
            return 'triton'
        _warn_once(
            f'no Triton kernels for the scan on a GPU: {missing}; '
            'it runs in plain torch, many times slower'
        )
    return 'torch' if missing_numba(tensor) else 'numba'


def choose(tensor: torch.Tensor) -> str:
    """Name the backend that an operator uses for a tensor.

    Args:
        tensor (Tensor): The operator's first argument.

    Returns:
        str: One of ``BACKENDS``.

    Raises:
        RuntimeError: If the environment asks for one that cannot run.
        ValueError: If the environment asks for one that does not exist.
    """
    name = requested()
    if name == 'auto':
        name = _fastest(tensor)
    elif name in ('triton', 'numba'):
        missing = missing_triton(tensor.device) if name == 'triton' else missing_numba(tensor)
        if missing:
            raise RuntimeError(f'{ENV_VAR} is {name!r}, but {missing}; unset it or take torch')
    # a Triton kernel for float64 would serve tests alone
    return 'torch' if name == 'triton' and tensor.dtype == torch.float64 else name


def select(operator: str, tensor: torch.Tensor) -> ModuleType:
    """Import the implementation of an operator that suits a tensor.

    Args:
        operator (str): Package of the operator, with a module for each backend.
        tensor (Tensor): The operator's first argument.

    Returns:
        module: The implementation, with ``states_shape``, ``forward`` and
        ``backward``.

    Raises:
        RuntimeError: If the environment asks for one that cannot run. The
            reference cannot run here: the public functions call it themselves,
            because autograd differentiates it.
    """
    name = choose(tensor)
    if name == 'reference':
        raise RuntimeError(
            f'{ENV_VAR} is {name!r}, which a graph traced with another backend cannot use; '
            'unset it or take torch'
        )
    return _implementation(operator, name)


@functools.cache
def _implementation(operator: str, backend: str) -> ModuleType:
    """Import an operator's module for a backend; plain torch's where it has none."""
    if importlib.util.find_spec(f'{operator}.{backend}') is None:
        backend = 'torch'
    return importlib.import_module(f'{operator}.{backend}')


# new in torch 2.7
_is_exporting = getattr(torch.compiler, 'is_exporting', torch.compiler.is_compiling)


def is_traced() -> bool:
    """Say whether a network is traced or exported, for runtimes without our operators."""
    return torch.jit.is_tracing() or _is_exporting()


def uses_triton(tensor: torch.Tensor) -> bool:
    """Say whether the operators run Triton kernels on a tensor.

    Unlike `choose`, it neither warns nor raises where they cannot, for a caller that
    has another way; such a caller takes it in a network that is traced or exported.

    Args:
        tensor (Tensor): What would be an operator's first argument.

    Returns:
        bool: True if they do.
    """
    return not is_traced() and _uses_triton(tensor.device, tensor.dtype)


# a constant of a compiled graph, because Dynamo cannot trace what it asks for
@torch.compiler.assume_constant_result
def _uses_triton(device: torch.device, dtype: torch.dtype) -> bool:
    name = requested()
    wanted = name == 'triton' or (name == 'auto' and device.type == 'cuda')
    return wanted and dtype in KERNEL_DTYPES and not missing_triton(device)


def select_for_backward(
    operator: str, states: torch.Tensor, tensor: torch.Tensor, *others: torch.Tensor | int
) -> ModuleType:
    """Import for the backward pass the implementation that `select` chose for forward.

    Args:
        operator (str): Package of the operator.
        states (Tensor): States that forward kept; their shape tells most
            backends apart.
        tensor (Tensor): The operator's first argument.
        others: What else the shape of the states depends on, such as decay rates.

    Returns:
        module: The implementation.

    Raises:
        RuntimeError: If the environment now asks for another one.
    """
    implementation = select(operator, tensor)
    if states.shape != implementation.states_shape(tensor, *others):
        raise RuntimeError(
            f'{ENV_VAR} or the GPU has changed between forward and backward; run forward again'
        )
    return implementation


def backend_report() -> dict[str, str]:
    """Say which backends are available, or why not.

    Returns:
        dict[str, str]: A sentence for each of ``BACKENDS``; under ``requested``
        what the environment asks for, and under ``in use`` what a float32 tensor
        gets, on the GPU if there is one.
    """
    missing = dict(triton=missing_triton(), numba=missing_numba())
    report = {
        **{
            name: f'not available: {reason}' if reason else _describe(name)
            for name, reason in missing.items()
        },
        'torch': 'available: a two-level scan in plain torch, for any device and dtype',
        'reference': 'available: a slow loop, for comparison',
        'requested': requested(),
    }
    in_use = report['requested']
    if in_use == 'auto':
        kernels = 'triton' if torch.cuda.is_available() else 'numba'
        in_use = 'torch' if missing[kernels] else kernels
    report['in use'] = f'{in_use}, {report[in_use]}'
    return report


def _describe(name: str) -> str:
    """Describe a backend whose package is installed."""
    version = importlib.import_module(name).__version__
    if name == 'triton':
        where = 'interpreted, slowly' if is_interpreted() else 'on the GPU'
        return f'available: triton {version} kernels {where}, for float16, bfloat16 and float32'
    # imported late: it is only needed here
    from ._numba.parallel import team_size

    return (
        f"available: numba {version} kernels on {team_size()} of torch's {torch.get_num_threads()} "
        'threads, for float32 on the CPU and 16 bits widened to it'
    )
