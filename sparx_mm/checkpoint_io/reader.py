"""Checkpoint files of torch and safetensors, read without running code from them."""

import logging
import os.path as osp
import re
import zipfile
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.logging import print_log
from safetensors.torch import load_file

from ..state_dicts import drop_other_weights, find_weights, weights_key
from ..state_dicts.names import summarize
from .archive import check_archive, check_tensors
from .unpickle import CheckpointError, is_trusting, load_torch, walk

# texts with which torch's unpickler and `unpickle` refuse a function
_REFUSALS = re.compile(r'GLOBAL ([\w.]+)|unrecognized function|allowlisted|(getattr)')


def read_checkpoint(path: str, map_location: Any = None) -> dict[str, Any]:
    """Read a checkpoint of torch or safetensors without running code from it.

    Args:
        path (str): Path of the file.
        map_location (optional): Passed to ``torch.load``. Default: None.

    Returns:
        dict: The weights under ``'state_dict'``, whatever their key in the file
        (see `find_weights`), and the rest of the file unchanged, without the
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
            content = _load_torch(path, map_location)
        return _normalize(content, path)


def checkpoint_kind(path: str) -> str:
    """Tell a checkpoint's format from its first and last bytes.

    Args:
        path (str): Path of the file.

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
        # a zip's table of contents is at its end, so a file that was cut off has none
        if zipfile.is_zipfile(path):
            return 'torch'
    except zipfile.BadZipFile as error:
        raise CheckpointError(f'the file {where} was cut off or is damaged ({error})') from error
    except OSError as error:
        raise CheckpointError(f'the file {where} cannot be read ({error.strerror})') from error
    # safetensors: eight bytes for the header's length, then the header in JSON
    if head[8:] == b'{':
        return 'safetensors'
    # before torch 1.6 a checkpoint was a bare pickle
    if head[:1] == b'\x80':
        return 'torch'
    if not head:
        raise CheckpointError(f'the file {where} is empty')
    if head[:2] == b'PK':
        raise CheckpointError(f'the file {where} was cut off')
    raise CheckpointError(f'the file {where} is not a checkpoint of torch or safetensors')


def _load_torch(path, map_location):
    if is_trusting():
        return load_torch(path, map_location)
    check_archive(path)
    content = load_torch(path, map_location)
    check_tensors(filter(torch.is_tensor, walk(content)), path, map_location)
    return content


def _load_safetensors(path, map_location):
    device = map_location if isinstance(map_location, (str, torch.device)) else 'cpu'
    return load_file(path, device=str(device))


@contextmanager
def _named_errors(path):
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f'{path}: {error}') from error
    except MemoryError as error:
        raise CheckpointError(f'{path} needs more memory than there is') from error
    # a damaged or hostile file can make the reader raise anything
    except Exception as error:
        # torch wraps its unpickler's message in a page of advice
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
                f'{path} is damaged, or a pickle of a kind that cannot be read '
                'safely; save it again with torch.save and its default '
                'protocol'
            ) from error
        raise CheckpointError(
            f'{path} was cut off or is damaged ({text[:100]}); get it again'
        ) from error


def _normalize(content, path):
    _check_names(content, 'the file')
    content = drop_other_weights(content, path)
    _check_names(_innermost(content), 'the entry of the weights')
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
    _warn_of_nan(weights, path)
    if key is None:
        return dict(state_dict=weights)
    if key != 'state_dict':
        print_log(f'{path}: using the weights under {key!r}', 'current')
    rest = {k: value for k, value in content.items() if k != key}
    if 'ema_state_dict' in rest:
        _check_names(rest['ema_state_dict'], 'ema_state_dict')
    if not is_trusting():
        _drop_config_text(rest)
    return {**rest, 'state_dict': weights}


def _warn_of_nan(weights, path):
    """Name weights that no model can predict with, because inference APIs load them in silence."""
    broken = [
        name
        for name, value in weights.items()
        if isinstance(value, torch.Tensor) and not _is_finite(value)
    ]
    if broken:
        print_log(
            f'{path}: NaN or infinity in {summarize(broken)}: the training that wrote it had '
            'diverged, or the file is damaged; predictions of these weights mean nothing',
            'current',
            logging.WARNING,
        )


def _is_finite(tensor):
    # torch looks at no floats of a byte
    can_look = tensor.is_floating_point() and tensor.element_size() > 1 and not tensor.is_meta
    return not can_look or bool(tensor.isfinite().all())


def _innermost(content):
    key = weights_key(content)
    return content if key is None else _innermost(content[key])


def _check_names(content, what):
    if not isinstance(content, dict):
        raise CheckpointError(f'{what} is a {type(content).__name__}, and not weights by name')
    if not all(isinstance(key, str) for key in content):
        raise CheckpointError(f'{what} has names that are not text')


def _drop_config_text(checkpoint):
    """Drop configs, because mmengine's Runner and Inferencer evaluate them as Python."""
    hub = checkpoint.get('message_hub')
    runtime_info = hub.get('runtime_info') if isinstance(hub, dict) else None
    for place in (checkpoint.get('meta'), runtime_info):
        if isinstance(place, dict):
            place.pop('cfg', None)
            place.pop('config', None)
