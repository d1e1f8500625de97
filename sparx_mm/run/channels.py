"""The check that necks and heads take the channels that a backbone gives."""

from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS

from ..backbones import Backbone
from ..config_nodes import type_name, walk
from ..errors import ConfigError, UserError

# necks that take all maps; others may read some of them
TAKES_ALL = (
    'ChannelMapper',
    'CSPNeXtPAFPN',
    'FPN',
    'MultiLevelNeck',
    'PAFPN',
    'YOLOV3Neck',
    'YOLOXPAFPN',
)
# those whose in_channels begin with the last map
LAST_FIRST = ('YOLOV3Neck',)
# necks that give as many channels as the last map has
KEEPS_LAST = ('GlobalAveragePooling', 'NormPooling')
# necks that give num_outs maps of out_channels
GIVES_ALIKE = ('FPN', 'SimpleFeaturePyramid', 'SimpleFPN')
# heads that read the last maps, unless in_index says otherwise
READS_LAST = ('VMUNetHead',)
# option of a neck for the one map that it reads, whose in_channels are others
ONE_MAP = 'backbone_channel'


def check_channels(cfg: Config) -> None:
    """Check that necks and heads take what the backbone before them gives.

    Only a backbone of this package is asked, and only what is known of a neck or
    a head is checked.

    Args:
        cfg (Config): A whole config; its packages are imported.

    Raises:
        UserError: If ``in_channels``, or a neck's ``backbone_channel``, is something else than the maps.
    """
    for key, model in walk(cfg.get('model') or {}, 'model'):
        backbone = model.get('backbone')
        given = _map_channels(backbone) if isinstance(backbone, dict) else None
        if given is None:
            continue
        channels, numbers = given
        for name, part, taken in _readers(model, channels):
            option = ONE_MAP if ONE_MAP in part else 'in_channels'
            wanted = part.get(option)
            taken = list(taken) if isinstance(wanted, (list, tuple)) else taken[-1]
            wanted = list(wanted) if isinstance(wanted, (list, tuple)) else wanted
            if wanted == taken:
                continue
            index = f' (in_index {part["in_index"]})' if 'in_index' in part else ''
            if type_name(part) in LAST_FIRST:
                index += f' ({type_name(part)} begins with the last map)'
            neck = model.get('neck') or {}
            between = '' if name.startswith('neck') or not neck else f', {key}.neck {_outs(neck)}'
            raise UserError(
                f'{key}.backbone gives maps of {", ".join(map(str, channels))} channels '
                f'(out_indices {numbers}){between}; {key}.{name}.{option} is {wanted}'
                f'{index}: give {_remedy(key, name, option, part, taken, numbers)}'
            )


def _remedy(key: str, name: str, option: str, part: dict, taken: Any, numbers: Any) -> str:
    """Return what to give: a neck of fewer maps gets the last ones, another part all it reads."""
    given, wanted = {}, part.get(option)
    few = len(wanted) if isinstance(taken, list) else 0
    if name.startswith('neck') and 0 < few < len(taken) and isinstance(numbers, tuple):
        given['backbone.out_indices'] = numbers[-few:]
        taken = taken[:few] if type_name(part) in LAST_FIRST else taken[-few:]
    if not few or list(wanted) != taken:
        given[f'{name}.{option}'] = taken
    return ' and '.join(f'{key}.{to}={str(value).replace(" ", "")}' for to, value in given.items())


def _map_channels(backbone: dict) -> tuple[list[int], tuple[int, ...] | str] | None:
    """Return the channels of a backbone's maps, and which they are; None if they are unknown."""
    kind = backbone.get('type')
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(cls, type) and issubclass(cls, Backbone)):
        return None
    given = {key: backbone[key] for key in ('arch', 'out_indices') if key in backbone}
    try:
        channels, indices = cls.map_channels(**given)
    except (ConfigError, TypeError):
        # the backbone says it better when it is built
        return None
    if getattr(cls, 'returns_inputs', False):
        return channels, f'{indices[:-1]} and the last map'
    return channels, indices


def _readers(model: dict, maps: Sequence[int]) -> Iterator[tuple[str, dict, Sequence[int]]]:
    """Yield name and config of parts, and the channels of the maps that each reads."""
    neck = model.get('neck')
    if isinstance(neck, (list, tuple)):
        # only the first reads the backbone
        if neck and _reads(neck[0], maps):
            yield 'neck.0', neck[0], _ordered(neck[0], maps)
        return
    if neck:
        if _reads(neck, maps):
            yield 'neck', neck, _ordered(neck, maps)
        maps = _neck_channels(neck, maps)
    if not maps:
        return
    for name in ('decode_head', 'auxiliary_head'):
        heads = model.get(name) or []
        several = isinstance(heads, (list, tuple))
        for i, head in enumerate(heads if several else [heads]):
            if 'in_channels' in head:
                yield f'{name}.{i}' if several else name, head, _indexed(head, maps, name)
    for name in ('rpn_head', 'bbox_head', 'panoptic_head', 'head'):
        head = model.get(name)
        # a loop of heads, or a loss alone, has no in_channels of its own
        if isinstance(head, dict) and 'in_channels' in head:
            yield name, head, maps


def _reads(neck: dict, maps: Sequence[int]) -> bool:
    """Return True if what a neck reads of the maps is known."""
    if ONE_MAP in neck:
        return True
    wanted = neck.get('in_channels')
    if isinstance(wanted, int):
        # one of several maps may be picked
        return wanted not in maps
    if not isinstance(wanted, (list, tuple)):
        return False
    return len(wanted) >= len(maps) or type_name(neck) in TAKES_ALL


def _ordered(neck: dict, maps: Sequence[int]) -> Sequence[int]:
    """Return the channels of the maps in the order that a neck names them in."""
    return maps[::-1] if type_name(neck) in LAST_FIRST else maps


def _neck_channels(neck: dict, maps: Sequence[int]) -> list[int]:
    """Return the channels of a neck's maps; none if they are unknown."""
    if type_name(neck) in KEEPS_LAST:
        return [maps[-1]]
    if type_name(neck) in GIVES_ALIKE and isinstance(neck.get('num_outs'), int):
        return [neck.get('out_channels')] * neck['num_outs']
    return []


def _indexed(head: dict, maps: Sequence[int], name: str) -> list[int]:
    """Return the channels of the maps that ``in_index`` of a segmentor's head picks."""
    several = isinstance(head['in_channels'], (list, tuple))
    default = range(len(maps)) if several else -1
    if several and type_name(head) in READS_LAST:
        default = range(-min(len(head['in_channels']), len(maps)), 0)
    index: Any = head.get('in_index', default)
    index = default if index is None else index
    indices = list(index) if isinstance(index, (list, tuple, range)) else [index]
    if any(not -len(maps) <= i < len(maps) for i in indices):
        raise UserError(
            f'model.{name}.in_index is {index} and there are {len(maps)} maps: the last is '
            f'{len(maps) - 1}'
        )
    return [maps[i] for i in indices]


def _outs(neck: dict) -> str:
    return f'{neck.get("out_channels", "as many")} channels' if isinstance(neck, dict) else ''
