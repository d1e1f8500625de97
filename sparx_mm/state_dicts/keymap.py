"""Parameter names: where they lie in a file, to and from the released ones.

Pure functions on dicts; values pass through untouched. Only names differ:
shapes are the same in both.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar('T')

# (released, own); the start of a name, or all of it without a final dot
_TOP = (
    ('patch_embed.', 'stem.'),
    ('norm.', 'norms.'),
)
_LAYER = (
    ('pos_embed.', 'dpe.'),
    ('norm.', 'norm1.'),
    ('norm2.', 'norm2.'),
    ('mlp.', 'ffn.'),
    ('layerscale_1.', 'skip1.'),
    ('layerscale_2.', 'skip2.'),
    ('op.in_proj.weight', 'proj.weight'),
    ('op.in_proj.bias', 'proj.bias'),
    ('op.in_proj.', 'proj.fuse.'),
    ('op.d_norm.', 'proj.source_norm.'),
    ('op.d_proj.', 'proj.source_proj.'),
    ('op.q.', 'proj.q.'),
    ('op.k.', 'proj.k.'),
    ('op.v.', 'proj.v.'),
    ('op.scale', 'proj.scale'),
    ('op.conv2d.', 'mixer.conv.'),
    ('op.x_proj_weight', 'mixer.x_proj_weight'),
    ('op.dt_projs_weight', 'mixer.dt_weight'),
    ('op.dt_projs_bias', 'mixer.dt_bias'),
    ('op.A_logs', 'mixer.A_log'),
    ('op.Ds', 'mixer.D'),
    ('op.out_norm.', 'mixer.norm.'),
    ('op.out_proj.', 'mixer.out_proj.'),
)
_RELEASED, _OWN = 0, 1
_LAYER_PATTERNS = (
    re.compile(r'layers\.(\d+)\.blocks\.(\d+)\.(.+)'),
    re.compile(r'stages\.(\d+)\.layers\.(\d+)\.(.+)'),
)
_LAYER_FORMATS = ('layers.{}.blocks.{}.{}', 'stages.{}.layers.{}.{}')
# the released ones are sequences. Swin's `patch_embed.proj`, `norm.weight`
# and `downsample.norm` are other parts, of which SparX-Swin has its own
_NUMBERED = re.compile(r'[^.]+\.\d+\..+')
_DOWNSAMPLE_PATTERNS = (
    re.compile(r'layers\.(\d+)\.downsample\.(\d+\..+)'),
    re.compile(r'downsamples\.(\d+)\.(\d+\..+)'),
)
_DOWNSAMPLE_FORMATS = ('layers.{}.downsample.{}', 'downsamples.{}.{}')
# where files keep their weights, averaged ones first. What mmengine saves with
# its EMAHook has them in 'state_dict' and the raw ones in 'ema_state_dict'
_NESTED = ('state_dict_ema', 'model_ema', 'ema', 'state_dict', 'model', 'module')
# what wrappers (DDP, torch.compile) put before every name
_WRAPPERS = ('module.', '_orig_mod.')
# no other network has these
_MARKS = re.compile(
    r'(|.*\.)(layers\.\d+\.blocks\.\d+\.op'
    r'|stages\.\d+\.layers\.\d+\.mixer)\.'
)


def weights_key(checkpoint: Mapping[str, Any]) -> str | None:
    """Find the entry of a checkpoint that its weights are nested in.

    Averaged weights (``model_ema``, ``state_dict_ema``, ``ema``) come before
    others (``state_dict``, ``model``, ``module``).

    Args:
        checkpoint (Mapping): What a file holds.

    Returns:
        str, optional: The key; None if the checkpoint is a state dict.
    """
    for key in _NESTED:
        if isinstance(checkpoint.get(key), Mapping) and checkpoint[key]:
            return key
    return None


def find_weights(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Find the state dict in what a checkpoint file holds.

    It may be all of the file, or nested, see `weights_key`. Prefixes that a
    wrapper put before every name are dropped.

    Args:
        checkpoint (Mapping): What the file holds; it is not changed.

    Returns:
        OrderedDict: Names and tensors, with the ``_metadata`` that torch
        keeps there.
    """
    key = weights_key(checkpoint)
    if key is not None:
        return find_weights(checkpoint[key])
    weights = OrderedDict(checkpoint)
    metadata = getattr(checkpoint, '_metadata', {})
    for prefix in _WRAPPERS:
        if weights and all(key.startswith(prefix) for key in weights):
            weights = strip_prefix(weights, prefix)
            metadata = strip_prefix(metadata, prefix)
    weights._metadata = metadata
    return weights


def strip_prefix(state_dict: Mapping[str, T], prefix: str) -> dict[str, T]:
    """Take what has a prefix, without it.

    Args:
        state_dict (Mapping): Names and values; it is not changed.
        prefix (str): What the names begin with.

    Returns:
        OrderedDict: The rest of each of these names, and its value.
    """
    return OrderedDict(
        (name[len(prefix) :], value)
        for name, value in state_dict.items()
        if name.startswith(prefix)
    )


def find_prefixes(names: Iterable[str]) -> list[str]:
    """Find what the names of SparX backbones begin with.

    Args:
        names (Iterable[str]): Names of a state dict, own or released.

    Returns:
        list[str]: Each prefix, for example ``'backbone.'``, or ``''``; empty
        if there is no SparX backbone.
    """
    matches = (_MARKS.match(name) for name in names)
    return list(dict.fromkeys(match[1] for match in matches if match))


def from_released(key: str) -> str | None:
    """Own name of a released backbone name, None if it is not one.

    Args:
        key (str): Name in a released file, without a prefix.

    Returns:
        str, optional: Its name in our backbones.

    Example:
        >>> from_released('layers.0.blocks.1.op.A_logs')
        'stages.0.layers.1.mixer.A_log'
    """
    return _translate(key, _RELEASED, _OWN)


def to_released(key: str) -> str | None:
    """Released name of one of our backbone's names, None if it has none.

    Args:
        key (str): Name in one of our backbones, without a prefix.

    Returns:
        str, optional: Its name in the released files.

    Example:
        >>> to_released('stem.0.weight')
        'patch_embed.0.weight'
    """
    return _translate(key, _OWN, _RELEASED)


def rename_released(state_dict: dict[str, T], prefix: str = '') -> dict[str, T]:
    """Translate the released backbone names of a state dict.

    Args:
        state_dict (dict): Names and values; it is not changed.
        prefix (str): What the backbone's names begin with, for example
            ``'backbone.'``. Default: ``''``.

    Returns:
        dict: The same values in the same order; names that are not
        released backbone names under ``prefix`` stay as they are.
    """
    return _rename(state_dict, prefix, from_released)


def rename_to_released(state_dict: dict[str, T], prefix: str = '') -> dict[str, T]:
    """Inverse of `rename_released`.

    Args:
        state_dict (dict): Names and values; it is not changed.
        prefix (str): What the backbone's names begin with. Default: ``''``.

    Returns:
        dict: The same values in the same order.
    """
    return _rename(state_dict, prefix, to_released)


def _rename(state_dict, prefix, rename):
    renamed = {}
    for key, value in state_dict.items():
        new = None
        if key.startswith(prefix):
            new = rename(key[len(prefix) :])
        renamed[key if new is None else prefix + new] = value
    return renamed


def _translate(key, source, target):
    match = _LAYER_PATTERNS[source].fullmatch(key)
    if match:
        stage, layer, rest = match.groups()
        rest = _swap_start(rest, _LAYER, source, target)
        return rest and _LAYER_FORMATS[target].format(stage, layer, rest)
    match = _DOWNSAMPLE_PATTERNS[source].fullmatch(key)
    if match:
        return _DOWNSAMPLE_FORMATS[target].format(*match.groups())
    return _NUMBERED.fullmatch(key) and _swap_start(key, _TOP, source, target)


def _swap_start(key, table, source, target):
    for row in table:
        start = row[source]
        if key == start or (start.endswith('.') and key.startswith(start)):
            return row[target] + key[len(start) :]
    return None
