"""Which implementation runs, and why not another.

``auto`` takes the fastest one that is available for the tensors' device. The
environment variable SPARX_MM_KERNELS overrides it and is read at every call:

- ``triton``: GPU kernels;
- ``cpu``: numba kernels on the CPU for float32, and for 16 bits widened to
  it; else plain torch operations;
- ``reference``: the definition, a slow loop.
"""

import functools
import importlib
import os
import warnings

import torch

VARIABLE = 'SPARX_MM_KERNELS'
CHOICES = ('auto', 'triton', 'cpu', 'reference')
# the oldest that the kernels are known to compile with
TRITON_VERSION = (3, 6)


def requested():
    """The backend that the environment asks for.

    Returns:
        str: One of auto, triton, cpu and reference.

    Raises:
        ValueError: If the variable holds something else.
    """
    name = os.environ.get(VARIABLE) or 'auto'
    if name not in CHOICES:
        raise ValueError(f'{VARIABLE} is {name!r}; allowed are {", ".join(CHOICES)}')
    return name


@functools.cache
def missing_numba():
    """Why the numba kernels cannot run.

    Returns:
        str: The reason, empty if they can.
    """
    try:
        import numba  # noqa: F401
    except ImportError as error:
        if getattr(error, 'name', None) == 'numba':
            return 'numba is not installed'
        # such as a NumPy that is too new for this numba
        return f'numba does not import ({error})'
    return ''


def runs_numba(tensor):
    """Whether the numba kernels take a tensor: float32, on the CPU."""
    return tensor.device.type == 'cpu' and tensor.dtype == torch.float32 and not missing_numba()


@functools.cache
def _missing_triton_package():
    try:
        import triton
    except ImportError as error:
        if getattr(error, 'name', None) == 'triton':
            return 'triton is not installed'
        return f'triton does not import ({error})'
    version = tuple(int(n) for n in triton.__version__.split('.')[:2])
    if version < TRITON_VERSION:
        return 'triton {} is older than {}.{}'.format(triton.__version__, *TRITON_VERSION)
    return ''


def interprets():
    """Whether Triton runs its kernels on the CPU, slowly, for tests."""
    if _missing_triton_package():
        return False
    import triton

    return triton.knobs.runtime.interpret


@functools.cache
def _missing_gpu(device):
    if not torch.cuda.is_available():
        return 'torch finds no GPU'
    if torch.version.hip:
        return ''
    major, minor = torch.cuda.get_device_capability(device)
    if major < 8:
        return f'the GPU has compute capability {major}.{minor}, Triton needs 8.0'
    return ''


def missing_triton(device=None):
    """Why the Triton kernels cannot run.

    Args:
        device (torch.device, optional): Where the tensors are. Default: the
            current GPU.

    Returns:
        str: The reason, empty if they can.
    """
    if _missing_triton_package():
        return _missing_triton_package()
    # the interpreter takes tensors from anywhere
    if interprets():
        return ''
    if device is not None and device.type != 'cuda':
        return f'the tensors are on {device.type}'
    return _missing_gpu(device)


@functools.cache
def _warn_once(message):
    warnings.warn(message)


def select(implementations, tensor):
    """Take one of an operator's implementations, the fastest for a tensor.

    The reference is not among them: the public functions call it themselves,
    and autograd differentiates it.

    Args:
        implementations (dict): Names of modules by the name of their backend.
        tensor (Tensor): One of the operator's arguments.

    Returns:
        module: The implementation.

    Raises:
        RuntimeError: If the environment asks for one that cannot run.
    """
    name = requested()
    if name == 'auto':
        name = 'triton' if tensor.is_cuda else 'cpu'
    if name == 'triton':
        missing = missing_triton(tensor.device)
        if missing and requested() == 'triton':
            raise RuntimeError(f"{VARIABLE} is 'triton', but {missing}; unset it or take cpu")
        if missing:
            _warn_once(
                f'no Triton kernels for the scan on a GPU: {missing}; '
                'it runs in plain torch, many times slower'
            )
        # a kernel for float64 would be for tests alone
        if missing or tensor.dtype == torch.float64:
            name = 'cpu'
    return importlib.import_module(implementations[name])


def select_again(implementations, tensor, states, A):
    """Take for backward what :func:`select` took for forward.

    Args:
        implementations, tensor: As for it.
        states (Tensor): What forward kept; each backend has its own shape.
        A (Tensor): The decay rates.

    Returns:
        module: The implementation.

    Raises:
        RuntimeError: If the environment now asks for another one.
    """
    implementation = select(implementations, tensor)
    if states.shape != implementation.states_shape(tensor, A):
        raise RuntimeError(
            f'{VARIABLE} or the GPU has changed between forward and backward; run forward again'
        )
    return implementation


def backend_report():
    """Say which backends are available, or why not.

    Returns:
        dict[str, str]: A sentence for each of triton, cpu and reference;
        under ``requested`` what the environment asks for, and under
        ``in use`` what a float32 tensor gets, on the GPU if there is one.
    """
    name = requested()
    threads = torch.get_num_threads()
    if missing_numba():
        cpu = f'two-level scan in plain torch; {missing_numba()}'
    else:
        import numba

        cpu = (
            f'numba {numba.__version__} kernels on {threads} threads (own '
            'pool, no numba threading layer) for float32 on the CPU; '
            'two-level scan in plain torch else'
        )
    missing = missing_triton()
    report = {
        'triton': f'not available: {missing}' if missing else _describe_triton(),
        'cpu': f'available: {cpu}',
        'reference': 'available: a slow loop, for comparison',
        'requested': name,
    }
    in_use = name
    if name == 'auto':
        gpu = torch.cuda.is_available() and not missing
        in_use = 'triton' if gpu else 'cpu'
    report['in use'] = f'{in_use}, {report[in_use]}'
    return report


def _describe_triton():
    import triton

    where = 'interpreted, slowly' if interprets() else 'on the GPU'
    return (
        f'available: triton {triton.__version__} kernels {where}, for '
        'float16, bfloat16 and float32; two-level scan in plain torch '
        'for float64'
    )
