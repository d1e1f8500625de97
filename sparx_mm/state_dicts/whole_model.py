"""Names of whole models: flat as released, nested as in mmpretrain or mmseg.

Pure functions on dicts; of a head only layers that a backbone has too change shapes.
"""

from collections.abc import Mapping
from typing import TypeVar

from .families import find_prefixes
from .keymap import KeyMap
from .nesting import strip_prefix

T = TypeVar('T')

_BACKBONE = 'backbone.'
# own name of the norm before mmpretrain's LinearClsHead
_NORM = 'neck.norm.'
# own names of the layer of the classes, by library
LAST_LAYERS = dict(mmpretrain='head.fc.', mmseg='decode_head.conv_seg.')


def nest_model(state_dict: Mapping[str, T], key_map: KeyMap) -> dict[str, T]:
    """Give a flat model the names of its library, mmpretrain or mmseg.

    Its backbone, with own or released names, gets the prefix ``'backbone.'``. A
    classifier gets the names of mmpretrain's ``ImageClassifier``: the norm and the linear
    layer of its head become ``neck.norm`` (see `NormPooling`) and ``head.fc``, and a block
    between the two is the neck's (see `ClassBlock`). A segmentor gets those of mmseg's
    ``EncoderDecoder``.

    Args:
        state_dict (Mapping): Names and values; it is not changed.
        key_map (KeyMap): Names of the model's family.

    Returns:
        dict: The same values in the same order; ``state_dict`` itself, copied, if
        it is no flat model.

    Example:
        >>> from sparx_mm.state_dicts import SPARX
        >>> list(nest_model({'patch_embed.3.weight': 1, 'classifier.3.bias': 2}, SPARX))
        ['backbone.patch_embed.3.weight', 'head.fc.bias']
    """
    if find_prefixes(state_dict) != [key_map.root]:
        return dict(state_dict)
    flat = strip_prefix(state_dict, key_map.root)
    of_head = key_map.head.find_own(list(flat))
    renamed = key_map.head.to_own(
        {name if name in of_head else _BACKBONE + name: v for name, v in flat.items()}
    )
    has_head = any(name.startswith(tuple(LAST_LAYERS.values())) for name in renamed)
    return renamed if has_head else dict(state_dict)


def flatten_model(state_dict: Mapping[str, T], key_map: KeyMap) -> dict[str, T]:
    """Invert `nest_model`; the backbone's own names stay.

    Args:
        state_dict (Mapping): Names and values; it is not changed.
        key_map (KeyMap): Names of the model's family.

    Returns:
        dict: The same values in the same order; ``state_dict`` itself, copied, if
        it is no such model.
    """
    found = key_map.head.find_released(
        [f'{start}weight' for start in (_NORM, *LAST_LAYERS.values())]
    )
    has_head = found and all(name in state_dict for name in found)
    # the released names of a family can be mmpretrain's
    has_head = has_head and all(released != (name,) for name, (released, _) in found.items())
    if not has_head or find_prefixes(state_dict) != [_BACKBONE]:
        return dict(state_dict)
    renamed = key_map.head.to_released(state_dict)
    return {key_map.root + name.removeprefix(_BACKBONE): v for name, v in renamed.items()}
