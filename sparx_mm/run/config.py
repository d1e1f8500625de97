"""Reading configs."""

import os.path as osp
import traceback
from typing import Any

from mmengine.config import Config

from ..errors import UserError, error_text
from ..model_index import CONFIG_PREFIX, config_path, suggest
from .overrides import merge_options


def load_config(
    config: str,
    cfg_options: dict[str, Any] | None = None,
    work_dir: str | None = None,
    launcher: str = 'none',
) -> Config:
    """Read a config file and apply what the command line overrides.

    Args:
        config (str): The config file, or ``sparx_mm::`` and the name of a shipped one, see
            `config_path`.
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
    if config.startswith(CONFIG_PREFIX):
        config = config_path(config)
    if not osp.isfile(config):
        raise UserError(f'no config file {osp.abspath(config)}{suggest(config)}')
    try:
        cfg = Config.fromfile(config)
    except Exception as error:
        # whatever is raised, because a config is the user's program
        raise UserError(
            f'config {config} cannot be read: {_where(error, config)}{_describe(error, config)}'
        ) from error
    try:
        merge_options(cfg, cfg_options or {})
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise UserError(f'--cfg-options do not fit {config}: {error_text(error)}') from error
    cfg.launcher = launcher
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(config))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    return cfg


def _describe(error: BaseException, path: str) -> str:
    """Return what went wrong; for a module of custom_imports mmengine says sys.path instead."""
    text = error_text(error)
    reason = error.__cause__ and error.__cause__.__context__
    if not reason or not text.startswith('Failed to import custom modules'):
        return text
    if not isinstance(reason, ModuleNotFoundError) or not reason.name:
        return f'custom_imports: {error_text(reason)}'
    top = reason.name.partition('.')[0]
    for folder in (osp.dirname(path) or '.', '.'):
        if any(osp.isfile(osp.join(folder, top + end)) for end in ('.py', '/__init__.py')):
            remedy = f'it is in {osp.abspath(folder)}: put PYTHONPATH={folder} before the command'
            break
    else:
        remedy = 'install it, or put PYTHONPATH=FOLDER of its folder before the command'
    return f'custom_imports: there is no module {reason.name}; {remedy}'


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
