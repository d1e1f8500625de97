"""Architectures as data: from a name or a dict to what each stage is built of.

An arch is a dict. Every value, and every option inside a part's config, is the
same for all stages or a sequence with one entry for each of them: an option
that is a sequence itself, of as many entries, is given once for each stage.
``dict(alternate=(a, b))`` gives the layers of each stage ``a`` and ``b`` in
turn.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from ..errors import ConfigError
from .connections import stage_connections

# keys that need one entry for each stage
LISTS = ('embed_dims', 'depths')
# configs of parts; those that may be None leave the part out
PARTS = ('stem', 'downsample', 'mixer', 'projection', 'norm')
OPTIONAL_PARTS = ('ffn', 'out_norm', 'connections')
LAYER_SWITCHES = ('dpe', 'ffn_dpe', 'skip_scale')
SWITCHES = (*LAYER_SWITCHES, 'trunk_norm', 'pair_skip')
# what `inputs` may be, the default first
INPUTS = ('last', 'weighted')
KEYS = (*LISTS, *PARTS, *OPTIONAL_PARTS, *SWITCHES, 'inputs')
# of these, each layer of a stage may have its own
BY_LAYER = ('mixer', 'projection', 'ffn', 'norm', *LAYER_SWITCHES)
# reduces the maps of four stages to about the size of the last one's
REDUCTION = (8, 4, 2, 1)
# what `connections` holds unless it says otherwise; `starts` has no default
CONNECTIONS = dict(
    strides=1,
    windows=None,
    sources='window',
    input_in_window=False,
    aggregator=dict(type='DMCA', reduction=REDUCTION),
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
        defaults (dict): What the variants share; switches that it leaves out are
            False, and ``inputs`` is ``'last'``.
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
        >>> defaults = dict(parts, **dict.fromkeys(OPTIONAL_PARTS))
        >>> resolve_arch(dict(base='tiny', dpe=(True, False)), zoo, defaults)['dpe']
        (True, False)
    """
    defaults = {**dict.fromkeys(SWITCHES, False), 'inputs': INPUTS[0], **defaults}
    resolved = complete_arch(arch, zoo, defaults, family, KEYS)
    if resolved['connections'] is not None:
        resolved['connections'] = _complete_connections(resolved['connections'])
    _check(resolved)
    _check_connections(resolved)
    return resolved


def stage_arch(arch: dict, stage: int) -> dict:
    """Pick what one stage is built of.

    Args:
        arch (dict): From `resolve_arch`.
        stage (int): Index of the stage, from 0.

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
        layer (int): Index of the layer in its stage, from 0.

    Returns:
        Any: The layer's value.

    Example:
        >>> layer_value(dict(type='Any', shifted=dict(alternate=(False, True))), 3)
        {'type': 'Any', 'shifted': True}
    """
    if not isinstance(value, dict):
        return value
    if _alternates(value):
        return layer_value(value['alternate'][layer % len(value['alternate'])], layer)
    return {key: layer_value(inner, layer) for key, inner in value.items()}


def complete_arch(
    arch: str | dict,
    zoo: Mapping[str, dict],
    defaults: dict,
    family: str,
    keys: Sequence[str],
) -> dict:
    """Put an arch over the ones that it is based on, whatever its keys are.

    Args:
        arch (str or dict): See `resolve_arch`.
        zoo (Mapping): Variants by name.
        defaults (dict): What the variants share.
        family (str): Name of the backbone, for messages.
        keys (Sequence[str]): Keys that an arch of the family has.

    Returns:
        dict: A value for each of the keys; a new dict.

    Raises:
        ConfigError: If a name or key is unknown, or a key is missing.
    """
    completed = _complete(arch, zoo, defaults, family, keys)
    missing = sorted(key for key in keys if key not in completed)
    if missing:
        raise ConfigError(
            f'arch keys {missing} are missing; give them, or '
            f'base={next(iter(zoo), "NAME")!r} for those of a named arch'
        )
    return completed


def _complete(arch, zoo, defaults, family, keys):
    if not isinstance(arch, dict):
        if not isinstance(arch, str) or arch not in zoo:
            raise ConfigError(
                f'arch {arch!r} of {family} is unknown; use one of {sorted(zoo)} or a dict'
            )
        arch = zoo[arch]
    changes = deepcopy(dict(arch))
    base = changes.pop('base', None)
    unknown = sorted(set(changes) - set(keys))
    if unknown:
        raise ConfigError(f'arch keys {unknown} are unknown; allowed are {sorted([*keys, "base"])}')
    below = deepcopy(defaults) if base is None else _complete(base, zoo, defaults, family, keys)
    return _merge(below, changes)


def _merge(below, changes):
    """Put changes over a dict, those of configs of one type key by key."""
    if _alternates(changes):
        return dict(alternate=tuple(_merge(below, one) for one in changes['alternate']))
    if _alternates(below):
        return dict(alternate=tuple(_merge(one, changes) for one in below['alternate']))
    if isinstance(changes, (list, tuple)) and any(isinstance(one, dict) for one in changes):
        if not isinstance(below, (list, tuple)):
            below = [below] * len(changes)
        elif len(below) != len(changes):
            # those of another number of stages
            below = [None] * len(changes)
        return tuple(map(_merge, below, changes))
    if not isinstance(changes, dict):
        return changes
    if isinstance(below, (list, tuple)) and any(isinstance(one, dict) for one in below):
        return tuple(one if one is None else _merge(one, changes) for one in below)
    if not isinstance(below, dict) or _is_other_type(below, changes):
        return changes
    return {**below, **{key: _merge(below.get(key), value) for key, value in changes.items()}}


def _is_other_type(below, changes):
    # a class, and a name with a scope, are the type of that name
    names = [getattr(one.get('type'), '__name__', one.get('type')) for one in (below, changes)]
    names = [name.rpartition('.')[2] if isinstance(name, str) else name for name in names]
    return 'type' in changes and names[0] != names[1]


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
    if not isinstance(arch['depths'], (list, tuple)):
        raise ConfigError(
            f"arch key 'depths' must be a sequence with one entry for each stage, "
            f'got {arch["depths"]!r}'
        )
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
    for key, value in arch.items():
        stages = value if isinstance(value, (list, tuple)) else (value,)
        if key not in BY_LAYER and any(map(_alternates, stages)):
            raise ConfigError(f'arch key {key!r} cannot alternate: it has no layers')
        for one in _entries(value):
            if key in (*PARTS, *OPTIONAL_PARTS):
                if not isinstance(one, dict) and (one is not None or key in PARTS):
                    raise ConfigError(f'arch key {key!r} must be a config, a dict, got {one!r}')
            elif key in SWITCHES and not isinstance(one, bool):
                raise ConfigError(f'arch key {key!r} must be True or False, got {one!r}')
            elif key == 'inputs' and one not in INPUTS:
                raise ConfigError(f'arch key {key!r} must be one of {INPUTS}, got {one!r}')
            elif key in LISTS and (type(one) is not int or one < 1):
                raise ConfigError(f'arch key {key!r} needs ints from 1, got {value!r}')


def _check_connections(arch):
    """Let the connection rule check every stage, built or not."""
    for stage in range(len(arch['depths'])):
        try:
            plan_stage(stage_arch(arch, stage))
        except ConfigError as error:
            raise ConfigError(f'connections of stage {stage}: {error}') from error


def plan_stage(arch: dict) -> tuple[tuple[int, ...], ...]:
    """Plan the connections of a stage.

    Args:
        arch (dict): From `stage_arch`.

    Returns:
        tuple[tuple[int]]: By layer, the layers that it reads; none if the arch
        has no ``connections``.
    """
    connections = arch['connections']
    if connections is None:
        return stage_connections(arch['depths'])
    return stage_connections(
        arch['depths'],
        connections['strides'],
        connections['starts'],
        connections['windows'],
        connections['sources'],
        connections['input_in_window'],
    )


def plan_inputs(arch: dict) -> tuple[tuple[int, ...], ...]:
    """Plan the maps that each layer of a stage starts from the weighted sum of.

    Args:
        arch (dict): From `stage_arch`.

    Returns:
        tuple[tuple[int]]: By layer, the stage's input and all earlier layers, in order;
        of a stage whose layers start from the last map, nothing.
    """
    if arch['inputs'] == 'last':
        return ((),) * arch['depths']
    return stage_connections(arch['depths'], start=0, sources='all')


def _alternates(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {'alternate'}:
        return False
    if not isinstance(value['alternate'], (list, tuple)) or not value['alternate']:
        raise ConfigError(
            f'alternate needs a sequence of one value or more, got {value["alternate"]!r}'
        )
    return True


def _entries(value: Any) -> Iterable:
    """Yield a value, or those for stages and layers that it stands for."""
    if _alternates(value):
        value = value['alternate']
    elif not isinstance(value, (list, tuple)):
        yield value
        return
    for one in value:
        yield from _entries(one)


def _pick(value, stage, num_stages):
    if _alternates(value):
        return dict(alternate=tuple(_pick(one, stage, num_stages) for one in value['alternate']))
    if isinstance(value, dict):
        return {key: _pick(inner, stage, num_stages) for key, inner in value.items()}
    if isinstance(value, (list, tuple)) and len(value) == num_stages:
        value = value[stage]
        return _pick(value, stage, num_stages) if isinstance(value, dict) else value
    return value
