"""Places of the weights in what a checkpoint file holds."""

import posixpath
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, TypeVar

import torch

T = TypeVar('T')

# where files keep their weights, averaged ones first. A file of a run with
# mmengine's EMAHook has them in 'state_dict' and the raw ones in 'ema_state_dict'
_AVERAGED = ('state_dict_ema', 'model_ema', 'ema')
_NESTED = (*_AVERAGED, 'state_dict', 'model', 'module', 'model_state_dict')
# released files, by name, whose printed accuracy is that of the weights before averaging:
# VSSD's that were the best of a run by them, and not by the average
_BEST_RAW = re.compile(r'vssd_\w+_best\.pth')
# DDP and torch.compile put these before every name
_WRAPPERS = ('module.', '_orig_mod.')


def drop_other_weights(checkpoint: Mapping[str, Any], file: str) -> Mapping[str, Any]:
    """Drop the averaged weights of a file that is known for its others.

    Args:
        checkpoint (Mapping): Content of a file; it is not changed.
        file (str): Its name, with or without a folder.

    Returns:
        Mapping: ``checkpoint`` itself, or a dict without averaged weights if the file
        has others too, and these have the accuracy that was published for it.
    """
    is_known = _BEST_RAW.fullmatch(posixpath.basename(file))
    rest = {key: value for key, value in checkpoint.items() if key not in _AVERAGED}
    return rest if is_known and weights_key(rest) else checkpoint


def weights_key(checkpoint: Mapping[str, Any]) -> str | None:
    """Find the entry of a checkpoint that its weights are nested in.

    Averaged weights (``model_ema``, ``state_dict_ema``, ``ema``) come before
    others (``state_dict``, ``model``, ``module``, ``model_state_dict``).

    Args:
        checkpoint (Mapping): Content of a file.

    Returns:
        str, optional: The key; None if the checkpoint is a state dict.
    """
    given = [key for key in _NESTED if isinstance(checkpoint.get(key), Mapping) and checkpoint[key]]
    # an average may be there with its settings alone
    whole = [key for key in given if _has_tensors(checkpoint[key])]
    return next(iter(whole or given), None)


def _has_tensors(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_tensors, value.values()))
    return isinstance(value, torch.Tensor)


def find_weights(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Find the state dict in the content of a checkpoint file.

    It may be all of the file, or nested, see `weights_key`. Prefixes that a
    wrapper put before every name are dropped.

    Args:
        checkpoint (Mapping): Content of the file; it is not changed.

    Returns:
        OrderedDict: Names and tensors, with the ``_metadata`` that torch
        keeps there.
    """
    key = weights_key(checkpoint)
    if key is not None:
        return find_weights(checkpoint[key])
    weights = OrderedDict(checkpoint)
    metadata = getattr(checkpoint, '_metadata', {})
    # twice, because either wrapper may be around the other
    for prefix in _WRAPPERS * 2:
        if weights and all(key.startswith(prefix) for key in weights):
            weights = strip_prefix(weights, prefix)
            metadata = strip_prefix(metadata, prefix)
    weights._metadata = metadata
    return weights


def strip_prefix(state_dict: Mapping[str, T], prefix: str) -> dict[str, T]:
    """Select the names with a prefix and drop the prefix.

    Args:
        state_dict (Mapping): Names and values; it is not changed.
        prefix (str): Start of the names to select.

    Returns:
        OrderedDict: The rest of each of these names, and its value.
    """
    return OrderedDict(
        (name[len(prefix) :], value)
        for name, value in state_dict.items()
        if name.startswith(prefix)
    )
