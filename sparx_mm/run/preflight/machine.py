"""Checks of the machine: packages, GPU, screen."""

import os
import sys
from importlib.util import find_spec

from mmengine.config import Config
from mmengine.device import get_device

from ... import info
from ...compat import torchvision_stub
from ...config_nodes import type_name, walk
from ...errors import UserError
from ...libraries import find_library


def check_packages(cfg: Config) -> None:
    """Check that the library which the config's scope names is installed.

    Args:
        cfg (Config): A whole config.

    Raises:
        UserError: If one of its packages is missing, or if it needs
            torchvision and that does not load.
    """
    scope, library = cfg.get('default_scope'), find_library(cfg)
    if 'torchvision' in library.packages:
        why_hidden = torchvision_stub.install()
        if why_hidden:
            raise UserError(
                f'this config runs on {scope}, and torchvision cannot be imported: '
                f'{why_hidden}; install the one of this torch'
            )
    for name in library.packages:
        if not _is_installed(name):
            raise UserError(
                f'this config runs on {scope}, and {name} is not installed: '
                f'run `make setup`, or {library.remedy}'
            )


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        # the package around it is missing
        return False


def check_device(cfg: Config) -> None:
    """Check that mmcv's operators run on the device that mmengine would take.

    Args:
        cfg (Config): A whole config; its packages are installed.

    Raises:
        UserError: If there is a GPU and they were compiled for the CPU only.
    """
    if (
        'mmcv._ext' in find_library(cfg).packages
        and get_device() == 'cuda'
        and not info.mmcv_cuda_version()
    ):
        raise UserError(
            "mmcv's operators were compiled for the CPU only: run on it "
            'with CUDA_VISIBLE_DEVICES= before the command, or install '
            'nvcc and run `make setup`'
        )


def check_training_device(cfg: Config) -> None:
    """Check that the device can train what the config asks for.

    Args:
        cfg (Config): A whole config.

    Raises:
        UserError: If there is no GPU and the precision is float16 or a part
            of the model needs a GPU.
    """
    if get_device() != 'cpu':
        return
    wrapper = cfg.get('optim_wrapper') or {}
    if type_name(wrapper) == 'AmpOptimWrapper':
        raise UserError(
            'float16 (AmpOptimWrapper) needs a GPU and none is visible: take '
            'bfloat16 with --amp-dtype bfloat16'
        )
    needs_gpu = find_library(cfg).needs_gpu
    for key, node in walk(cfg.get('model') or {}, 'model'):
        kind = type_name(node)
        if kind in needs_gpu:
            raise UserError(
                f'{key} is {kind}, whose operator in mmcv needs a GPU in training, and none '
                'is visible: train on a machine with a GPU, or take a config without it'
            )


def check_display() -> None:
    """Check that there is a screen to show windows on.

    Raises:
        UserError: If there is none.
    """
    variables = ('DISPLAY', 'WAYLAND_DISPLAY')
    if sys.platform == 'linux' and not any(map(os.environ.get, variables)):
        raise UserError(
            '--show needs a screen and DISPLAY is not set: paint '
            'into a folder with --show-dir instead'
        )
