"""Reading configs, and telling mistakes in them from bugs."""

import os.path as osp
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config

from ..errors import ConfigError, UserError
from .config_nodes import walk
from .libraries import LIBRARIES


def load_config(
    config: str,
    cfg_options: dict[str, Any] | None = None,
    work_dir: str | None = None,
    launcher: str = 'none',
) -> Config:
    """Read a config file and apply what the command line overrides.

    Args:
        config (str): The config file.
        cfg_options (dict, optional): Values by dotted key, as
            ``--cfg-options`` gives them. Default: None.
        work_dir (str, optional): Folder for logs and checkpoints. None: that
            of the config, else ``work_dirs/`` and the config's name.
            Default: None.
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
            Default: ``'none'``.

    Returns:
        Config: The config, with ``launcher`` and ``work_dir`` set.

    Raises:
        UserError: If the file is missing or broken, or if an option does not
            fit it.
    """
    if not osp.isfile(config):
        raise UserError(f'no config file {osp.abspath(config)}')
    try:
        cfg = Config.fromfile(config)
    except Exception as error:
        # whatever is raised, because a config is the user's program
        raise UserError(
            f'config {config} cannot be read: {_where(error, config)}{error_text(error)}'
        ) from error
    try:
        cfg.merge_from_dict(cfg_options or {})
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise UserError(f'--cfg-options do not fit {config}: {error_text(error)}') from error
    cfg.launcher = launcher
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(config))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    return cfg


@contextmanager
def config_errors(cfg: dict) -> Iterator[None]:
    """Turn the errors of a config into a `UserError` while it is built.

    The config's errors are `ConfigError`, those that mmengine's registry
    raises itself (an unknown ``type``), arguments of the config that a class
    does not take, and those by which data sets report their files
    (``data_errors`` of their library). Anything else passes through: another
    `UserError`, or a bug.

    Args:
        cfg (dict): The config that is built.

    Raises:
        UserError: If the error is the config's.
    """
    try:
        yield
    except Exception as error:
        if not (
            isinstance(error, ConfigError)
            or _is_of_registry_or_data(error)
            or _is_unknown_argument(error, cfg)
        ):
            raise
        raise UserError(f'config: {error_text(error)}') from error


def error_text(error: BaseException) -> str:
    """Return the message of an exception, or its type if it has none."""
    # str(KeyError('text')) would add quotes
    text = error.args[0] if len(error.args) == 1 else error
    return str(text) or type(error).__name__


def _is_of_registry_or_data(error: Exception) -> bool:
    # neither has an exception of its own: the module that raised it decides
    frame, _ = list(traceback.walk_tb(error.__traceback__))[-1]
    package, *rest = frame.f_globals.get('__name__', '').split('.')
    if package == 'mmengine':
        return rest[:1] == ['registry']
    library = LIBRARIES.get(package)
    return bool(library) and rest[:1] == ['datasets'] and isinstance(error, library.data_errors)


def _is_unknown_argument(error: Exception, cfg: dict) -> bool:
    found = re.search(r"unexpected keyword argument '(\w+)'", error_text(error))
    return (
        isinstance(error, TypeError)
        and found is not None
        and any(found[1] in node for _, node in walk(cfg))
    )


def _where(error: BaseException, path: str) -> str:
    """Return the line of a config that raised an exception; '' if none did."""
    if isinstance(error, SyntaxError):
        return f'line {error.lineno}: '
    lines = [
        lineno
        for frame, lineno in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == osp.abspath(path)
    ]
    return f'line {lines[-1]}: ' if lines else ''
