"""What this machine has: Python, a compiler, a GPU and its compiler."""

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


def use_supported_python():
    """Start again with a Python that fits, if this one does not."""
    if sys.version_info[:2] in SUPPORTED:
        return
    this = f'{sys.executable} is Python {platform.python_version()}'
    if os.environ.get('PYTHON'):
        fail(f'{this}; PYTHON must be one of 3.10, 3.11 and 3.12')
    for version in reversed(SUPPORTED):
        other = 'python{}.{}'.format(*version)
        # pyenv has commands that only say that they are not installed
        if output(other, '--version'):
            os.execvp(other, [other] + sys.argv)
    fail(
        f'{this} and no other is on the PATH; install Python 3.10, 3.11 or '
        '3.12 and name it: make setup PYTHON=/path/to/python3.11'
    )


def check_build_tools():
    """End here if something is missing that only the user can install."""
    python = 'python{}.{}'.format(*sys.version_info)
    header = Path(sysconfig.get_path('include'), 'Python.h')
    # what, is it there, its package on Debian and on Fedora
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


def find_gpus():
    """Models of the NVIDIA GPUs; which and how many of them may change."""
    lines = output('nvidia-smi', '-L').splitlines()
    models = [re.match(r'GPU \d+: (.*?)( \(UUID|$)', line) for line in lines]
    return sorted({model.group(1) for model in models if model})


def find_nvcc():
    """Version of the CUDA compiler that torch would use, '' without one."""
    home = os.environ.get('CUDA_HOME') or os.environ.get('CUDA_PATH')
    nvcc = f'{home}/bin/nvcc' if home else shutil.which('nvcc')
    text = output(nvcc or '/usr/local/cuda/bin/nvcc', '--version')
    found = re.search(r'release (\d+\.\d+)', text)
    return found.group(1) if found else ''


def why_on_cpu(gpus, nvcc, cuda):
    """Why mmcv's operators are made for the CPU; '' if for the GPU.

    Args:
        gpus (list[str]): What `find_gpus` found.
        nvcc (str): What `find_nvcc` found.
        cuda (str): CUDA version of torch, '' if torch cannot use the GPU.
    """
    if not gpus:
        return 'there is no GPU'
    if not cuda:
        return 'there is a GPU, but torch cannot use it'
    if not nvcc:
        return f'there is a GPU, but no nvcc; to use it, install the CUDA toolkit {cuda}'
    if nvcc.split('.')[0] != cuda.split('.')[0]:
        return (
            f'there is a GPU, but nvcc is of CUDA {nvcc}; to use it, '
            f'install the CUDA toolkit {cuda}'
        )
    return ''
