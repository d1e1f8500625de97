"""Parts of this machine: Python, a compiler, a GPU and its compiler."""

import importlib.util
import os
import platform
import re
import shutil
import sys
import sysconfig
from pathlib import Path

from console import fail, output

SUPPORTED = ((3, 10), (3, 11), (3, 12))
# the user's variable: GPU architectures to make mmcv's operators for, with or without a GPU here
ARCHS = 'SPARX_MM_CUDA_ARCHS'
# where a container shows its limits
CGROUP = Path('/sys/fs/cgroup')


def use_supported_python():
    """Start again with a supported Python, if this one is not."""
    if sys.version_info[:2] in SUPPORTED:
        return
    this = f'{sys.executable} is Python {platform.python_version()}'
    if os.environ.get('PYTHON'):
        fail(f'{this}; PYTHON must be one of 3.10, 3.11 and 3.12')
    for version in reversed(SUPPORTED):
        other = 'python{}.{}'.format(*version)
        # because pyenv has commands that only say that they are not installed
        if output(other, '--version'):
            os.execvp(other, [other] + sys.argv)
    fail(
        f'{this} and no other is on the PATH; install Python 3.10, 3.11 or '
        '3.12 and name it: make setup PYTHON=/path/to/python3.11'
    )


def base_python():
    """Return the path of this Python outside of its environment, which may have been set aside."""
    base = Path('{}/bin/python{}.{}'.format(sys.base_prefix, *sys.version_info))
    return str(base) if sys.prefix != sys.base_prefix and base.exists() else sys.executable


def check_build_tools():
    """Exit if something is missing that only the user can install, or this is not Linux."""
    if sys.platform != 'linux':
        fail(f'this machine runs {sys.platform}, and set-up needs Linux: see docs/install.md')
    python = 'python{}.{}'.format(*sys.version_info)
    header = Path(sysconfig.get_path('include'), 'Python.h')
    # name, whether it is there, its package on Debian, its package on Fedora
    table = [
        ('g++', shutil.which('g++'), 'g++', 'gcc-c++'),
        ('Python.h', header.exists(), f'{python}-dev', f'{python}-devel'),
        ('ensurepip', importlib.util.find_spec('ensurepip'), f'{python}-venv', f'{python}-libs'),
    ]
    missing = [row for row in table if not row[1]]
    if missing:
        names, debian, fedora = (' '.join(row[i] for row in missing) for i in (0, 2, 3))
        fail(
            f'not found: {names}; install them on Debian or Ubuntu with '
            f'"apt install {debian}", on Fedora with "dnf install {fedora}"'
        )


def chosen_archs():
    """Return the GPU architectures that the user names, ``'8.0;9.0'``, or ''."""
    return ';'.join(re.findall(r'[^;,\s]+', os.environ.get(ARCHS, '')))


def find_gpus():
    """List the models of the NVIDIA GPUs, not which or how many there are.

    Where the user names architectures, as for an image that is built without a GPU, those are
    listed instead.
    """
    if chosen_archs():
        return [f'architectures {chosen_archs()}']
    lines = output('nvidia-smi', '-L').splitlines()
    models = [re.match(r'GPU \d+: (.*?)( \(UUID|$)', line) for line in lines]
    return sorted({model.group(1) for model in models if model})


def find_nvcc():
    """Return the version of the CUDA compiler that torch would use, or ''."""
    home = os.environ.get('CUDA_HOME') or os.environ.get('CUDA_PATH')
    nvcc = f'{home}/bin/nvcc' if home else shutil.which('nvcc')
    text = output(nvcc or '/usr/local/cuda/bin/nvcc', '--version')
    found = re.search(r'release (\d+\.\d+)', text)
    return found.group(1) if found else ''


def container_limit(name):
    """List the numbers in a file of the container's limits; [] if there is no limit.

    Args:
        name (str): The file in `CGROUP`.
    """
    try:
        return [int(number) for number in (CGROUP / name).read_text().split()]
    except (OSError, ValueError):
        # outside of a container there is no file, and 'max' is no limit
        return []


def usable_cores():
    """Return the number of cores that this process may keep busy."""
    cores = len(os.sched_getaffinity(0))
    # microseconds of all cores together, and of the period that they are for
    quota = container_limit('cpu.max')
    return max(1, min(cores, quota[0] // quota[1])) if quota else cores


def usable_memory():
    """Return the bytes of memory that this process may take."""
    machine = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    # of the second and of the first version of control groups
    names = ('memory.max', 'memory/memory.limit_in_bytes')
    return min([machine] + [limit for name in names for limit in container_limit(name)])


def why_on_cpu(gpus, nvcc, cuda):
    """Return the reason to make mmcv's operators for the CPU, or ''.

    Args:
        gpus (list[str]): Result of `find_gpus`.
        nvcc (str): Result of `find_nvcc`.
        cuda (str): CUDA version of torch, '' if torch cannot use the GPU.
    """
    if not gpus:
        return 'there is no GPU'
    reason = ''
    if not cuda:
        reason = 'torch is made for the CPU' if chosen_archs() else 'torch cannot use it'
    elif not nvcc:
        reason = f'no nvcc; to use it, install the CUDA toolkit {cuda}'
    elif nvcc.split('.')[0] != cuda.split('.')[0]:
        reason = f'nvcc is of CUDA {nvcc}; to use it, install the CUDA toolkit {cuda}'
    if reason and chosen_archs():
        fail(f'{ARCHS} asks for operators for a GPU, but {reason}')
    return reason and f'there is a GPU, but {reason}'
