"""Names of whole classifiers: flat as released, nested as in mmpretrain.

Pure functions on dicts; only a block between backbone and head changes shapes.
"""

from collections.abc import Mapping
from typing import TypeVar

from .families import find_prefixes
from .keymap import KeyMap

T = TypeVar('T')

_BACKBONE = 'backbone.'
# own names of every head: of the neck and of mmpretrain's LinearClsHead
_HEAD = ('neck.norm.', 'head.fc.')


def nest_classifier(state_dict: Mapping[str, T], key_map: KeyMap) -> dict[str, T]:
    """Give a flat classifier the names of mmpretrain's ``ImageClassifier``.

    Its backbone, with own or released names, gets the prefix ``'backbone.'``;
    the norm and the linear layer of its head become ``neck.norm`` (see
    `NormPooling`) and ``head.fc``, and a block between the two is the neck's
    (see `ClassBlock`).

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
    of_head = key_map.head.find_own(list(state_dict))
    renamed = key_map.head.to_own(
        {name if name in of_head else _BACKBONE + name: v for name, v in state_dict.items()}
    )
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
    found = key_map.head.find_released([f'{start}weight' for start in _HEAD])
    has_head = found and all(name in state_dict for name in found)
    # the released names of a family can be mmpretrain's
    has_head = has_head and all(released != (name,) for name, (released, _) in found.items())
    if not has_head or find_prefixes(state_dict) != [_BACKBONE]:
        return dict(state_dict)
    renamed = key_map.head.to_released(state_dict)
    return {name.removeprefix(_BACKBONE): value for name, value in renamed.items()}
