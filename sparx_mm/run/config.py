"""Reading a config; what is wrong with it is the user's to put right."""

import os.path as osp
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config

from ..errors import UserError


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
        work_dir (str, optional): Where logs and checkpoints go. None: what
            the config says, else ``work_dirs/`` and the config's name.
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
        # a config is the user's program: whatever it raises is theirs
        raise UserError(
            f'config {config} cannot be read: {_where(error, config)}{_text(error)}'
        ) from error
    try:
        cfg.merge_from_dict(cfg_options or {})
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise UserError(f'--cfg-options do not fit {config}: {_text(error)}') from error
    cfg.launcher = launcher
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(config))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    return cfg


@contextmanager
def config_errors(cfg: dict) -> Iterator[None]:
    """Tell a mistake in a config from a bug while something is built of it.

    Four kinds of error are the config's: those that mmengine's registry
    raises itself (an unknown ``type``), an argument of the config that a
    class does not take, a ValueError of our own checks, and what data sets
    of mmpretrain say of their folders. The rest passes through.

    Args:
        cfg (dict): What is built.

    Raises:
        UserError: For the four.
    """
    try:
        yield
    except (AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
        frame, _ = list(traceback.walk_tb(error.__traceback__))[-1]
        module = frame.f_globals.get('__name__', '')
        registry = module.startswith('mmengine.registry')
        checked = isinstance(error, ValueError) and module.startswith('sparx_')
        unknown = re.search(r"unexpected keyword argument '(\w+)'", _text(error))
        given = unknown and any(unknown[1] in node for _, node in walk(cfg))
        folders = module.startswith('mmpretrain.datasets') and isinstance(
            error, (AssertionError, RuntimeError, ValueError)
        )
        if not registry and not checked and not given and not folders:
            raise
        raise UserError(f'config: {_text(error)}') from error


def walk(node: Any, path: str = '') -> Iterator[tuple[str, dict]]:
    """Yield every dict in nested dicts and lists with its dotted key.

    Args:
        node (Any): A config or a part of one.
        path (str): Its own key. Default: ``''``.
    """
    if isinstance(node, dict):
        yield path, node
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(value, (dict, list, tuple)):
            yield from walk(value, f'{path}.{key}' if path else str(key))


def _text(error: BaseException) -> str:
    # str(KeyError('text')) would add quotes
    text = error.args[0] if len(error.args) == 1 else error
    return str(text) or type(error).__name__


def _where(error: BaseException, path: str) -> str:
    if isinstance(error, SyntaxError):
        return f'line {error.lineno}: '
    lines = [
        lineno
        for frame, lineno in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == osp.abspath(path)
    ]
    return f'line {lines[-1]}: ' if lines else ''
