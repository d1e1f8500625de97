"""Report what is installed: python -m sparx_mm.info.

The report has every version that matters, the scan kernels in use and the reason
why the others are not. It works without any of the packages, torch included. With
--selftest, it checks the scan kernels on this machine instead.
"""

import argparse
import importlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata

from . import __version__
from .errors import fail

# import package: the distributions that install it
DISTRIBUTIONS = {
    'numpy': ('numpy',),
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
    'mmrotate': ('onedl-mmrotate', 'mmrotate'),
    'cv2': (
        'opencv-python-headless',
        'opencv-python',
        'opencv-contrib-python-headless',
        'opencv-contrib-python',
    ),
    'pycocotools': ('pycocotools',),
    'torchvision': ('torchvision',),
    'triton': ('triton', 'pytorch-triton-rocm'),
    'numba': ('numba',),
}


def requirement(distribution: str) -> str:
    """Return a requirement as our extras pin it, or else just the name."""
    try:
        lines = metadata.requires('sparx_mm') or []
    except metadata.PackageNotFoundError:
        lines = []
    pattern = re.compile(rf'({re.escape(distribution)}[^\w;-][^;]*);')
    pinned = [match[1].strip() for match in map(pattern.match, lines) if match]
    return pinned[0] if pinned else distribution


def installed_version(distribution: str) -> str:
    """Return the version of a distribution, '' if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ''


def describe_package(name: str) -> str:
    """Describe an import package: its version, or how to install it.

    Args:
        name (str): A key of ``DISTRIBUTIONS``.
    """
    found = []
    for distribution in DISTRIBUTIONS[name]:
        version = installed_version(distribution)
        if version:
            found.append(f'{version} ({distribution})')
    if not found and name == 'torchvision':
        # no pip line, because it would replace torch by the version that it requires
        return 'not installed, only mmpretrain and mmrotate need it'
    if not found:
        # because in an isolated build mmcv sees no torch and compiles no operators
        options = '--no-build-isolation ' if name == 'mmcv' else ''
        maintained, *original = DISTRIBUTIONS[name]
        wanted = maintained
        # because a package of the other stack would overwrite this one's files
        if maintained.startswith('onedl-') and installed_version('mmengine'):
            wanted = original[0]
        return f'not installed: pip install {options}"{requirement(wanted)}"'
    if len(found) > 1:
        return f'{" and ".join(found)}: all install {name}, keep one'
    return found[0].replace(f' ({name})', '')


def describe_torch() -> str:
    """Describe torch: its version, its build and its number of threads."""
    torch = importlib.import_module('torch')
    if torch.version.hip:
        build = f'ROCm {torch.version.hip}'
    elif torch.version.cuda:
        build = f'CUDA {torch.version.cuda}'
    else:
        build = 'a build for the CPU'
    return f'{torch.__version__}, {build}, {torch.get_num_threads()} threads'


def describe_openmp() -> str:
    """Say how OpenMP's threads wait for each other, and who has chosen it."""
    names = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')
    chosen = [f'{name}={os.environ[name]}' for name in names if name in os.environ]
    if chosen:
        return f'{", ".join(chosen)}, set in the environment'
    return 'threads spin for 2000 turns, then sleep, in our tools; GOMP_SPINCOUNT=N changes it'


def describe_gpus() -> str:
    """Describe the GPUs that torch can use: names, memory, architectures."""
    cuda = importlib.import_module('torch').cuda
    if not cuda.is_available():
        return 'none that torch can use'
    gpus = map(cuda.get_device_properties, range(cuda.device_count()))
    return ', '.join(
        f'{gpu.name} ({gpu.total_memory >> 30} GiB, sm_{gpu.major}{gpu.minor})' for gpu in gpus
    )


def describe_program(*command: str) -> str:
    """Run a program and return the line in which it prints its version."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return 'not found'
    lines = [line for line in done.stdout.splitlines() if 'release' in line]
    return (lines or done.stdout.splitlines() or ['does not run'])[0]


def mmcv_cuda_version() -> str:
    """Return the CUDA version of mmcv's operators, '' if they are for the CPU only."""
    version = importlib.import_module('mmcv._ext').get_compiling_cuda_version()
    return '' if version == 'not available' else version


def describe_mmcv_ops() -> str:
    """Say which devices mmcv's compiled operators are for."""
    version = mmcv_cuda_version()
    return f'for the CPU and CUDA {version}' if version else 'for the CPU only'


def describe_backbones() -> str:
    """List the backbones that importing sparx_mm registers."""
    return ', '.join(importlib.import_module('sparx_mm').backbones.__all__)


def describe_kernels() -> list[tuple[str, str]]:
    """Describe the backends of the scan kernels, a row each."""
    rows = importlib.import_module('sparx_mm.kernels').backend_report().items()
    return [(f'scan {name}', text) for name, text in rows]


def attempt(describe: Callable, *args: str):
    """Call a function and return what is wrong instead of raising it.

    Args:
        describe (Callable): One of the functions above.
        *args (str): Its arguments.
    """
    try:
        return describe(*args)
    except ImportError as error:
        if error.name == 'torch':
            return f'not installed: pip install "{requirement("torch")}"'
        return f'not available: {error}'
    # because the rest of the report matters most when something is broken
    except Exception as error:
        return f'does not work: {type(error).__name__}: {error}'


def report() -> Iterator[tuple[str, str]]:
    """Yield names and descriptions in the order of the printed report."""
    yield 'sparx_mm', f'{__version__}, {os.path.dirname(__file__)}'
    yield 'python', f'{platform.python_version()}, {sys.executable}'
    yield 'platform', f'{platform.platform()}, {os.cpu_count()} cores'
    yield 'g++', describe_program('g++', '--version')
    nvcc = shutil.which('nvcc') or '/usr/local/cuda/bin/nvcc'
    yield 'nvcc', describe_program(nvcc, '--version')
    yield 'torch', attempt(describe_torch)
    yield 'openmp', describe_openmp()
    yield 'gpu', attempt(describe_gpus)
    for name in DISTRIBUTIONS:
        yield name, attempt(describe_package, name)
    yield 'mmcv._ext', attempt(describe_mmcv_ops)
    yield 'backbones', attempt(describe_backbones)
    kernels = attempt(describe_kernels)
    yield from [('scan', kernels)] if isinstance(kernels, str) else kernels


def selftest() -> int:
    """Check the scan kernels on this machine and print each result.

    Returns:
        int: Number of failed checks.
    """
    try:
        torch = importlib.import_module('torch')
        kernels = importlib.import_module('sparx_mm.kernels.selftest')
    except ImportError as error:
        fail(f'the self-test needs torch ({error}); type: pip install "{requirement("torch")}"')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    print(f'on {describe_gpus() if device == "cuda" else "the CPU"}:')
    failed = 0
    try:
        for check in kernels.run(device):
            print(check, flush=True)
            failed += not check.ok
    except ValueError as error:
        fail(str(error))
    return failed


def main() -> None:
    """Print the report, or run the self-test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = lambda message: fail(f'{message} (see {parser.prog} --help)', 2)
    parser.add_argument(
        '--selftest',
        action='store_true',
        help='check output and gradients of the scan kernels in float32, and '
        'on a GPU in 16 bits too, against the definition in float64; the exit '
        'status is 1 if a check fails',
    )
    if parser.parse_args().selftest:
        failed = selftest()
        if failed:
            fail(f'{failed} of the checks above failed')
        return
    for name, text in report():
        print(f'{name:<15} {text}')


if __name__ == '__main__':
    main()
