"""Reading checkpoint files without running what is in them.

A pickle is a program. Files are read as safetensors or with torch's
``weights_only``, which runs nothing but what it is told to allow; there is no
way back to plain pickle but `trust_checkpoints`. `install` replaces the readers
of mmengine's ``CheckpointLoader``.
"""

import contextvars
import functools
import os.path as osp
import pickle
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.fileio import get_local_path
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner.checkpoint import (
    CheckpointLoader,
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)
from safetensors.torch import load_file
from torch import serialization

from ..errors import UserError
from ..state_dicts import find_weights, strip_prefix, weights_key
from .download import fetch

# torch keeps what it allows for the whole process
_lock = threading.Lock()
_trusting = contextvars.ContextVar('trusting', default=False)

# how torch's unpickler says that something is not allowed, and we do
_REFUSALS = re.compile(
    r'GLOBAL ([\w.]+)|unrecognized function|allowlisted|'
    '(getattr)'
)


class CheckpointError(UserError):
    """A checkpoint cannot be read; the message names it and says why."""


@contextmanager
def trust_checkpoints(trust: bool = True) -> Iterator[None]:
    """Read files as plain pickles for a while, which runs what they hold.

    Args:
        trust (bool): False: change nothing. Default: True.
    """
    token = _trusting.set(trust or _trusting.get())
    try:
        yield
    finally:
        _trusting.reset(token)


def read_checkpoint(path: str, map_location: Any = None) -> dict[str, Any]:
    """Read a checkpoint of torch or safetensors, running nothing of it.

    Args:
        path (str): The file.
        map_location (optional): As ``torch.load`` takes it. Default: None.

    Returns:
        dict: The weights under ``'state_dict'``, wherever the file has them
        (see `find_weights`), and the rest of the file as it is, but for the
        text of a config, which mmengine would evaluate.

    Raises:
        CheckpointError: If the file is missing, damaged, not a checkpoint, or
            would run code.
    """
    path = osp.expanduser(path)
    kind = checkpoint_kind(path)
    with _named_errors(path):
        if kind == 'safetensors':
            content = _load_safetensors(path, map_location)
        else:
            content = _torch_load(path, map_location)
        return _normalize(content, path)


def checkpoint_kind(path: str) -> str:
    """Tell a checkpoint's format from its first and last bytes.

    Args:
        path (str): The file.

    Returns:
        str: ``'torch'`` or ``'safetensors'``.

    Raises:
        CheckpointError: If it is neither.
    """
    path = osp.expanduser(path)
    where = osp.abspath(path)
    if osp.isdir(path):
        raise CheckpointError(f'{where} is a folder')
    if not osp.isfile(path):
        raise CheckpointError(f'the file {where} does not exist')
    try:
        with open(path, 'rb') as file:
            head = file.read(9)
        # a zip's table of contents is at its end: half a file has none
        if zipfile.is_zipfile(path):
            return 'torch'
    except OSError as error:
        raise CheckpointError(f'the file {where} cannot be read ({error.strerror})') from error
    # the length of a header, and the header, which is JSON
    if head[8:] == b'{':
        return 'safetensors'
    # before torch 1.6 a checkpoint was a bare pickle
    if head[:1] == b'\x80':
        return 'torch'
    what = (
        'is empty'
        if not head
        else 'was cut off'
        if head[:2] == b'PK'
        else 'is not a checkpoint of torch or safetensors'
    )
    raise CheckpointError(f'the file {where} {what}')


def _load_safetensors(path, map_location):
    device = map_location if isinstance(map_location, (str, torch.device)) else 'cpu'
    return load_file(path, device=str(device))


def _torch_load(file, map_location):
    if map_location is None and not torch.cuda.is_available():
        map_location = 'cpu'
    if _trusting.get():
        return torch.load(file, map_location=map_location, weights_only=False)
    with _lock:
        content = _load_allowed(file, map_location)
    _check_arrays(content)
    return content


def _load_allowed(file, map_location):
    # what others have allowed in this process is not allowed here
    others = serialization.get_safe_globals()
    serialization.clear_safe_globals()
    serialization.add_safe_globals(_allowed())
    # a buffer that is read sets methods of its class
    methods = dict(HistoryBuffer()._statistics_methods)
    try:
        return torch.load(file, map_location=map_location, weights_only=True)
    finally:
        HistoryBuffer._statistics_methods.clear()
        HistoryBuffer._statistics_methods.update(methods)
        serialization.clear_safe_globals()
        serialization.add_safe_globals(others)


def _statistics_method(owner, name):
    """Stand in for getattr, by which a HistoryBuffer's pickle names these."""
    if owner is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'getattr {name}')


def _no_bytes():
    """Stand in for bytes, by which the pickle of an empty array names b''."""
    return b''


@functools.cache
def _allowed():
    """What the checkpoints of a Runner hold besides tensors: logged numbers."""
    # the module of numpy's pickles was renamed in version 2
    core = getattr(np, '_core', None) or np.core
    functions = [
        (getattr(core.multiarray, name), f'numpy.{module}.multiarray.{name}')
        for name in ('_reconstruct', 'scalar')
        for module in ('core', '_core')
    ]
    # the type of np.dtype('f8') is a class of its own since numpy 1.25
    dtypes = {type(np.dtype(code)) for code in '?bhilqBHILQefdSU'}
    return [
        HistoryBuffer,
        (_statistics_method, 'builtins.getattr'),
        (_no_bytes, 'builtins.bytes'),
        np.ndarray,
        np.dtype,
        *functions,
        *dtypes,
    ]


def _check_arrays(content):
    """Refuse arrays of anything but numbers and text.

    The dtype of an array is set by the file: one with fields or of objects
    would let numpy take bytes of the file for addresses.
    """
    seen, todo = set(), [content]
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set)):
            todo += value
        elif isinstance(value, (np.ndarray, np.generic, np.dtype)):
            dtype = value if isinstance(value, np.dtype) else value.dtype
            if dtype.names or dtype.subdtype or dtype.hasobject:
                raise CheckpointError('it has a numpy array of other things than numbers and text')
        # what a file hangs on a buffer, a tensor or an OrderedDict
        attributes = getattr(value, '__dict__', None)
        if isinstance(attributes, dict):
            todo.append(attributes)


@contextmanager
def _named_errors(path):
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f'{path}: {error}') from error
    except MemoryError:
        raise
    # a damaged or hostile file can make the reader raise anything
    except Exception as error:
        # torch wraps what its unpickler says in a page of advice
        text = ' '.join(str(error.__context__ or error).split())
        refused = _REFUSALS.search(text)
        if refused:
            what = refused[1] or refused[2] or 'calls of its own'
            raise CheckpointError(
                f'{path} is refused: it would run code when it is read '
                f'({what}); if you trust where it comes from, give '
                '--trust-checkpoint'
            ) from error
        if 'TorchScript' in text:
            raise CheckpointError(
                f'{path} is a TorchScript program; give a file of weights'
            ) from error
        if 'Unsupported operand' in text:
            raise CheckpointError(
                f'{path} is damaged, or a pickle of a kind that is not read '
                'safely; save it again with torch.save and its default '
                'protocol'
            ) from error
        raise CheckpointError(
            f'{path} was cut off or is damaged ({text[:100]}); get it again'
        ) from error


def _normalize(content, path):
    _check_names(content, 'the file')
    _check_names(_innermost(content), 'what should be weights')
    weights, key = find_weights(content), weights_key(content)
    if not any(isinstance(v, torch.Tensor) for v in weights.values()):
        raise CheckpointError(
            f'there is no tensor in {", ".join(list(content)[:5]) or "an empty dict"}'
        )
    for name, value in weights.items():
        if isinstance(value, torch.Tensor) and (
            value.is_quantized or value.layout != torch.strided
        ):
            raise CheckpointError(
                f'{name} is a sparse or quantised tensor; save it as an ordinary one'
            )
    if key is None:
        return dict(state_dict=weights)
    if key != 'state_dict':
        print_log(f'{path}: the weights are those of {key!r}', 'current')
    rest = {k: value for k, value in content.items() if k != key}
    if 'ema_state_dict' in rest:
        _check_names(rest['ema_state_dict'], 'ema_state_dict')
    if not _trusting.get():
        _drop_config_text(rest)
    return {**rest, 'state_dict': weights}


def _innermost(content):
    key = weights_key(content)
    return content if key is None else _innermost(content[key])


def _check_names(content, what):
    if not isinstance(content, dict):
        raise CheckpointError(f'{what} is a {type(content).__name__}, and not weights by name')
    if not all(isinstance(key, str) for key in content):
        raise CheckpointError(f'{what} has names that are not text')


def _drop_config_text(checkpoint):
    """mmengine evaluates it as Python, in a Runner or an Inferencer."""
    hub = checkpoint.get('message_hub')
    runtime_info = hub.get('runtime_info') if isinstance(hub, dict) else None
    for place in (checkpoint.get('meta'), runtime_info):
        if isinstance(place, dict):
            place.pop('cfg', None)
            place.pop('config', None)


def load_from_local(filename: str, map_location: Any = None) -> dict:
    """Read a file; see `read_checkpoint`."""
    return read_checkpoint(filename, map_location)


def load_from_http(filename: str, map_location: Any = None) -> dict:
    """Fetch a URL into torch's cache and read it."""
    return read_checkpoint(fetch(filename), map_location)


def load_from_remote(filename: str, map_location: Any = None) -> dict:
    """Copy from S3 or Petrel, by mmengine's storage backend, and read."""
    with get_local_path(filename, backend_args=dict(backend='petrel')) as path:
        return read_checkpoint(path, map_location)


def load_from_zoo(filename: str, map_location: Any = None) -> dict:
    """Look a name up in mmengine's lists of models, fetch and read it.

    Args:
        filename (str): ``open-mmlab://NAME``, ``mmcls://NAME`` or
            ``torchvision://NAME``.
        map_location (optional): As ``torch.load`` takes it. Default: None.

    Raises:
        CheckpointError: If the name is not in the list.
    """
    zoo, name = filename.split('://', 1)
    table = _ZOOS[zoo]()
    name = get_deprecated_model_names().get(name, name)
    if name not in table:
        raise CheckpointError(f'{filename}: {zoo} has no model {name!r}')
    checkpoint = load_from_http(table[name], map_location)
    if zoo == 'mmcls':
        # a classifier's file, of which a backbone is wanted
        checkpoint = dict(state_dict=strip_prefix(checkpoint['state_dict'], 'backbone.'))
    return checkpoint


def load_from_pavi(filename: str, map_location: Any = None) -> dict:
    """Refuse: its client reads pickles by itself."""
    raise CheckpointError(f'{filename}: download it and give the file')


_ZOOS = {
    'open-mmlab': get_external_models,
    'openmmlab': get_external_models,
    'mmcls': get_mmcls_models,
    'torchvision': get_torchvision_models,
    'modelzoo': get_torchvision_models,
}


def install() -> None:
    """Replace all readers of mmengine's ``CheckpointLoader``.

    Whatever reads a checkpoint through mmengine then runs nothing that is in
    the file. `sparx_mm.engine` calls it.
    """
    for prefixes, loader in (
        ('', load_from_local),
        (('http://', 'https://'), load_from_http),
        ((r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), load_from_remote),
        ([f'{zoo}://' for zoo in _ZOOS], load_from_zoo),
        ('pavi://', load_from_pavi),
    ):
        CheckpointLoader.register_scheme(prefixes, loader, force=True)
