"""Architectures as data: from a name or a dict to what each stage is built of.

An arch is a dict. Every value, and every option inside a part's config, is the
same for all stages or a sequence with one entry for each of them.
``dict(alternate=(a, b))`` gives the layers of each stage ``a`` and ``b`` in
turn.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from ..errors import ConfigError

# keys that need one entry for each stage
LISTS = ('embed_dims', 'depths')
# configs of parts; those that may be None leave the part out
PARTS = ('stem', 'downsample', 'mixer', 'projection', 'norm')
OPTIONAL_PARTS = ('ffn', 'out_norm', 'connections')
KEYS = (*LISTS, *PARTS, *OPTIONAL_PARTS, 'dpe', 'skip_scale')
# what `connections` holds unless it says otherwise; `starts` has no default
CONNECTIONS = dict(
    strides=1,
    windows=None,
    sources='window',
    input_in_window=False,
    # 8 4 2 1 reduces the map of each stage to about the size of the last one's
    aggregator=dict(type='DMCA', reduction=(8, 4, 2, 1)),
)


def resolve_arch(
    arch: str | dict, zoo: Mapping[str, dict], defaults: dict, family: str = 'the backbone'
) -> dict:
    """Complete an arch with what its family gives all of them.

    Args:
        arch (str or dict): Name of a variant, or a dict that overrides keys of
            ``defaults``, or of the variant that its key ``base`` names. Of a
            config without ``type``, or of the same one, only what is given
            changes.
        zoo (Mapping): Variants by name.
        defaults (dict): What the variants share.
        family (str): Name of the backbone, for messages.
            Default: ``'the backbone'``.

    Returns:
        dict: A value for each of ``KEYS``; a new dict.

    Raises:
        ConfigError: If a name or key is unknown, a key is missing, or a
            sequence has another number of entries than there are stages.

    Example:
        >>> zoo = dict(tiny=dict(embed_dims=(8, 16), depths=(1, 2)))
        >>> parts = dict.fromkeys(PARTS, dict(type='Any'))
        >>> defaults = dict(
        ...     parts, ffn=None, out_norm=None, connections=None, dpe=False, skip_scale=False)
        >>> resolve_arch(dict(base='tiny', dpe=(True, False)), zoo, defaults)['dpe']
        (True, False)
    """
    resolved = _complete(arch, zoo, defaults, family)
    missing = sorted(key for key in KEYS if key not in resolved)
    if missing:
        raise ConfigError(
            f'arch keys {missing} are missing; give them, or '
            f'base={next(iter(zoo), "NAME")!r} for those of a named arch'
        )
    if resolved['connections'] is not None:
        resolved['connections'] = _complete_connections(resolved['connections'])
    _check(resolved)
    return resolved


def stage_arch(arch: dict, stage: int) -> dict:
    """Pick what one stage is built of.

    Args:
        arch (dict): From `resolve_arch`.
        stage (int): Number of the stage, from 0.

    Returns:
        dict: The same keys with the stage's own values.

    Example:
        >>> arch = dict(depths=(1, 2), mixer=dict(type='Any', heads=(2, 4)))
        >>> stage_arch(arch, 1)
        {'depths': 2, 'mixer': {'type': 'Any', 'heads': 4}}
    """
    return _pick(arch, stage, len(arch['depths']))


def layer_value(value: Any, layer: int) -> Any:
    """Pick what one layer of a stage is built of.

    Args:
        value (Any): A stage's value, with ``dict(alternate=...)`` anywhere
            inside.
        layer (int): Number of the layer in its stage, from 0.

    Returns:
        Any: The layer's value.

    Example:
        >>> layer_value(dict(type='Any', shifted=dict(alternate=(False, True))), 3)
        {'type': 'Any', 'shifted': True}
    """
    if not isinstance(value, dict):
        return value
    if _alternates(value):
        return value['alternate'][layer % len(value['alternate'])]
    return {key: layer_value(inner, layer) for key, inner in value.items()}


def _complete(arch, zoo, defaults, family):
    if not isinstance(arch, dict):
        if not isinstance(arch, str) or arch not in zoo:
            raise ConfigError(
                f'arch {arch!r} of {family} is unknown; use one of {sorted(zoo)} or a dict'
            )
        arch = zoo[arch]
    changes = deepcopy(dict(arch))
    base = changes.pop('base', None)
    unknown = sorted(set(changes) - set(KEYS))
    if unknown:
        raise ConfigError(f'arch keys {unknown} are unknown; allowed are {sorted([*KEYS, "base"])}')
    below = deepcopy(defaults) if base is None else _complete(base, zoo, defaults, family)
    return _merge(below, changes)


def _merge(below, changes):
    """Put changes over a dict, those of configs of one type key by key."""
    if _alternates(changes):
        return changes
    if _alternates(below):
        return dict(alternate=tuple(_merge(one, changes) for one in below['alternate']))
    if isinstance(below, (list, tuple)) and all(isinstance(one, dict) for one in below):
        return tuple(_merge(one, changes) for one in below)
    if not isinstance(below, dict) or changes.get('type', below.get('type')) != below.get('type'):
        return changes
    merged = dict(below)
    for key, value in changes.items():
        merged[key] = _merge(below.get(key), value) if isinstance(value, dict) else value
    return merged


def _complete_connections(given):
    if not isinstance(given, dict):
        raise ConfigError(f"arch key 'connections' must be a dict or None, got {given!r}")
    allowed = {'starts', *CONNECTIONS}
    unknown = sorted(set(given) - allowed)
    if unknown:
        raise ConfigError(f'arch key connections has no {unknown}; it has {sorted(allowed)}')
    if 'starts' not in given:
        raise ConfigError(
            "arch key connections needs 'starts', the lowest index of a ganglion layer in each "
            'stage, None for a stage without; for a plain network leave connections out'
        )
    return _merge(CONNECTIONS, given)


def _check(arch):
    num_stages = len(arch['depths'])
    for key in LISTS:
        if not isinstance(arch[key], (list, tuple)) or len(arch[key]) != num_stages:
            raise ConfigError(
                f'arch key {key!r} needs one entry for each of the {num_stages} stages in depths, '
                f'got {arch[key]}'
            )
    values = {key: arch[key] for key in KEYS if key not in LISTS}
    values.update((f'connections.{k}', v) for k, v in (arch['connections'] or {}).items())
    for key, value in values.items():
        if isinstance(value, (list, tuple)) and len(value) != num_stages:
            raise ConfigError(
                f'arch key {key!r} needs one value, or one for each of the {num_stages} stages in '
                f'depths, got {value}'
            )
    for key in (*PARTS, *OPTIONAL_PARTS):
        for value in _each(arch[key]):
            if not isinstance(value, dict) and (value is not None or key in PARTS):
                raise ConfigError(f'arch key {key!r} must be a config, a dict, got {value!r}')


def _alternates(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {'alternate'}


def _each(value: Any) -> Iterable:
    return value if isinstance(value, (list, tuple)) else (value,)


def _pick(value, stage, num_stages):
    if isinstance(value, (list, tuple)) and len(value) == num_stages:
        return value[stage]
    if isinstance(value, dict) and not _alternates(value):
        return {key: _pick(inner, stage, num_stages) for key, inner in value.items()}
    return value
