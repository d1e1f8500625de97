"""torch files, unpickled without running code from them.

A pickle is a program. torch's ``weights_only`` runs only what it is told to
allow; plain pickles are read only within `trust_checkpoints`.
"""

import argparse
import contextvars
import functools
import pickle
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import serialization

from ..errors import UserError

# because torch keeps its allowed globals for the whole process
_lock = threading.Lock()
_trusting = contextvars.ContextVar('trusting', default=False)


class CheckpointError(UserError):
    """A checkpoint that cannot be read; the message names it and says why."""


@contextmanager
def trust_checkpoints(trust: bool = True) -> Iterator[None]:
    """Read files as plain pickles within a ``with`` block, and run their code.

    Args:
        trust (bool): False changes nothing. Default: True.
    """
    token = _trusting.set(trust or _trusting.get())
    try:
        yield
    finally:
        _trusting.reset(token)


def is_trusting() -> bool:
    """Return True within `trust_checkpoints`."""
    return _trusting.get()


def load_torch(path: str, map_location: Any = None) -> Any:
    """Load a file of ``torch.save``.

    Args:
        path (str): Path of the file.
        map_location (optional): Passed to ``torch.load``; None without CUDA
            means ``'cpu'``. Default: None.

    Returns:
        Any: The file's content.

    Raises:
        CheckpointError: If a numpy array holds anything but numbers and text.
        Exception: Anything, if the file is damaged or would run code.
    """
    if map_location is None and not torch.cuda.is_available():
        map_location = 'cpu'
    if is_trusting():
        return torch.load(path, map_location=map_location, weights_only=False)
    with _lock:
        content = _load_allowed(path, map_location)
    _check_arrays(content)
    return content


def _load_allowed(path, map_location):
    # other code in this process may have allowed more than is safe here
    others = serialization.get_safe_globals()
    serialization.clear_safe_globals()
    serialization.add_safe_globals(_allowed())
    # because unpickling a buffer overwrites methods of its class
    methods = dict(HistoryBuffer()._statistics_methods)
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    finally:
        HistoryBuffer._statistics_methods.clear()
        HistoryBuffer._statistics_methods.update(methods)
        serialization.clear_safe_globals()
        serialization.add_safe_globals(others)


def _statistics_method(owner, name):
    """Stand in for getattr, with which a HistoryBuffer's pickle names its methods."""
    if owner is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'getattr {name}')


def _no_bytes():
    """Stand in for bytes, with which an empty array's pickle names b''."""
    return b''


def _empty_array(kind, shape, code):
    """Stand in for numpy's _reconstruct, which allocates an array of any shape."""
    if kind is np.ndarray and shape == (0,):
        return np.empty(0, 'b')
    raise pickle.UnpicklingError(f'an array that begins with the shape {shape}')


def _scalar(dtype, data):
    """Stand in for numpy's scalar, which allocates one of any size without data."""
    if isinstance(data, bytes) and len(data) == dtype.itemsize:
        return np.frombuffer(data, dtype)[0]
    raise pickle.UnpicklingError(f'a number of {dtype.itemsize} bytes')


@functools.cache
def _allowed():
    """List what a Runner's checkpoint holds besides tensors, and layouts of others."""
    functions = [
        (function, f'numpy.{module}.multiarray.{name}')
        for name, function in (('_reconstruct', _empty_array), ('scalar', _scalar))
        # numpy 2 renamed the module that its pickles name
        for module in ('core', '_core')
    ]
    # since numpy 1.25 each np.dtype has a class of its own
    dtypes = {type(np.dtype(code)) for code in '?bhilqBHILQefdSU'}
    return [
        HistoryBuffer,
        (_statistics_method, 'builtins.getattr'),
        (_no_bytes, 'builtins.bytes'),
        # the config in VSSD's released files; it is read as the dict that it is
        (OrderedDict, 'yacs.config.CfgNode'),
        # in the metainfo of files of mmengine
        (OrderedDict, 'mmengine.config.config.ConfigDict'),
        # the options of the original code's training, in Vim's released files; it has no code
        argparse.Namespace,
        np.ndarray,
        np.dtype,
        *functions,
        *dtypes,
    ]


def walk(content: Any) -> Iterator[Any]:
    """Yield everything that a file holds, each object once.

    Args:
        content (Any): Content of the file.
    """
    seen, todo = set(), [content]
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, dict):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set)):
            todo += value
        # because a file may set attributes of a buffer, a tensor or an OrderedDict
        attributes = getattr(value, '__dict__', None)
        if isinstance(attributes, dict):
            todo.append(attributes)


def _check_arrays(content):
    """Refuse arrays of anything but numbers and text.

    The file sets an array's dtype. With a dtype of fields or of objects,
    numpy would take bytes of the file for addresses.
    """
    for value in walk(content):
        if isinstance(value, (np.ndarray, np.generic, np.dtype)):
            dtype = value if isinstance(value, np.dtype) else value.dtype
            if dtype.names or dtype.subdtype or dtype.hasobject:
                raise CheckpointError('it has a numpy array of more than numbers and text')
