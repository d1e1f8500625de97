"""Names of whole classifiers: flat as released, nested as in mmpretrain.

Pure functions on dicts; values pass through untouched.
"""

from collections.abc import Mapping
from typing import TypeVar

from .families import find_prefixes
from .keymap import KeyMap

T = TypeVar('T')

_BACKBONE = 'backbone.'
# own names of every head: of `NormPooling` and of mmpretrain's LinearClsHead
_HEAD = ('neck.norm.', 'head.fc.')


def nest_classifier(state_dict: Mapping[str, T], key_map: KeyMap) -> dict[str, T]:
    """Give a flat classifier the names of mmpretrain's ``ImageClassifier``.

    Its backbone, with own or released names, gets the prefix ``'backbone.'``;
    the norm and the linear layer of its head become ``neck.norm`` (see
    `NormPooling`) and ``head.fc``.

    Args:
        state_dict (Mapping): Names and values; it is not changed.
        key_map (KeyMap): Names of the classifier's family.

    Returns:
        dict: The same values in the same order; ``state_dict`` itself, copied, if
        it is no flat classifier.

    Example:
        >>> from sparx_mm.state_dicts import SPARX
        >>> list(nest_classifier({'patch_embed.3.weight': 1,
        ...                       'classifier.3.bias': 2}, SPARX))
        ['backbone.patch_embed.3.weight', 'head.fc.bias']
    """
    starts = [(row.released, row.own) for row in key_map.head]
    renamed = _swap_starts(state_dict, [*starts, ('', _BACKBONE)])
    has_head = any(name.startswith(_HEAD[1]) for name in renamed)
    return renamed if has_head and find_prefixes(state_dict) == [''] else dict(state_dict)


def flatten_classifier(state_dict: Mapping[str, T], key_map: KeyMap) -> dict[str, T]:
    """Invert `nest_classifier`; the backbone's own names stay.

    Args:
        state_dict (Mapping): Names and values; it is not changed.
        key_map (KeyMap): Names of the classifier's family.

    Returns:
        dict: The same values in the same order; ``state_dict`` itself, copied, if
        it is no such classifier.
    """
    has_head = all(any(name.startswith(start) for name in state_dict) for start in _HEAD)
    if not has_head or find_prefixes(state_dict) != [_BACKBONE]:
        return dict(state_dict)
    starts = [(row.own, row.released) for row in key_map.head]
    return _swap_starts(state_dict, [*starts, (_BACKBONE, '')])


def _swap_starts(state_dict, rows):
    """Swap the start of each name as the first row that fits says."""
    renamed = {}
    for name, value in state_dict.items():
        for old, new in rows:
            if name.startswith(old):
                name = new + name[len(old) :]
                break
        renamed[name] = value
    return renamed
