"""Which implementation runs, and why not another.

``auto`` takes the fastest one that is available for the tensors' device. The
environment variable SPARX_MM_KERNELS overrides it and is read at every call:

- ``triton``: GPU kernels;
- ``cpu``: numba kernels for float32 on the CPU, else plain torch operations;
- ``reference``: the definition, a slow loop.
"""
import functools
import os

import torch

VARIABLE = 'SPARX_MM_KERNELS'
CHOICES = ('auto', 'triton', 'cpu', 'reference')


def requested():
    """The backend that the environment asks for.

    Returns:
        str: One of auto, triton, cpu and reference.

    Raises:
        ValueError: If the variable holds something else.
    """
    name = os.environ.get(VARIABLE) or 'auto'
    if name not in CHOICES:
        raise ValueError(f'{VARIABLE} is {name!r}; allowed are '
                         f'{", ".join(CHOICES)}')
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
    return (tensor.device.type == 'cpu' and tensor.dtype == torch.float32
            and not missing_numba())


def missing_triton():
    """Why the Triton kernels cannot run.

    Returns:
        str: The reason, empty if they can.
    """
    return 'this version has no GPU kernels yet'


def select(implementations):
    """Take one of an operator's implementations, the fastest there is.

    The reference is not among them: the public functions call it themselves,
    and autograd differentiates it.

    Args:
        implementations (dict): Implementations by the name of their backend.

    Returns:
        The implementation.

    Raises:
        RuntimeError: If the environment asks for one that cannot run.
    """
    if requested() == 'triton' and missing_triton():
        raise RuntimeError(f'{VARIABLE} is \'triton\', but '
                           f'{missing_triton()}; unset it or take cpu')
    return implementations['cpu']


def backend_report():
    """Say which backends are available, or why not.

    Returns:
        dict[str, str]: A sentence for each of triton, cpu and reference;
        under ``requested`` what the environment asks for, and under
        ``in use`` what a float32 tensor on the CPU gets.
    """
    name = requested()
    threads = torch.get_num_threads()
    if missing_numba():
        cpu = f'two-level scan in plain torch; {missing_numba()}'
    else:
        import numba
        cpu = (f'numba {numba.__version__} kernels on {threads} threads (own '
               'pool, no numba threading layer) for float32 on the CPU; '
               'two-level scan in plain torch else')
    triton = missing_triton()
    report = {
        'triton': f'not available: {triton}' if triton else 'available',
        'cpu': f'available: {cpu}',
        'reference': 'available: a slow loop, for comparison',
        'requested': name,
    }
    in_use = 'cpu' if name == 'auto' else name
    report['in use'] = f'{in_use}, {report[in_use]}'
    return report
