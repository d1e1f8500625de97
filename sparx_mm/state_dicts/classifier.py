"""Names of whole classifiers: flat as released, nested as mmpretrain's.

Pure functions on dicts; values pass through untouched.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import TypeVar

from .keymap import find_prefixes

T = TypeVar('T')

# (released, own) starts of names; what the released head has between the two
# is without weights
_HEAD = (('classifier.0.', 'neck.norm.'), ('classifier.3.', 'head.fc.'))
_BACKBONE = 'backbone.'


def nest_classifier(state_dict: Mapping[str, T]) -> dict[str, T]:
    """Give a flat classifier the names of mmpretrain's ``ImageClassifier``.

    Its backbone, with own or released names, gets the prefix ``'backbone.'``,
    the norm and the linear layer of its head become ``neck.norm`` (see
    `NormPooling`) and ``head.fc``.

    Args:
        state_dict (Mapping): Names and values; it is not changed.

    Returns:
        dict: The same values in the same order; all of ``state_dict`` as it
        is if that is no flat classifier.

    Example:
        >>> list(nest_classifier({'layers.0.blocks.0.op.Ds': 1,
        ...                       'classifier.3.bias': 2}))
        ['backbone.layers.0.blocks.0.op.Ds', 'head.fc.bias']
    """
    heads = [name for name in state_dict if name.startswith(_HEAD[-1][0])]
    if not heads or find_prefixes(state_dict) != ['']:
        return dict(state_dict)
    return _rename(state_dict, [*_HEAD, ('', _BACKBONE)])


def flatten_classifier(state_dict: Mapping[str, T]) -> dict[str, T]:
    """Inverse of `nest_classifier`, but for the backbone's own names.

    Args:
        state_dict (Mapping): Names and values; it is not changed.

    Returns:
        dict: The same values in the same order; all of ``state_dict`` as it
        is if that is no such classifier.
    """
    starts = [own for _, own in _HEAD]
    heads = [start for start in starts if any(name.startswith(start) for name in state_dict)]
    if heads != starts or find_prefixes(state_dict) != [_BACKBONE]:
        return dict(state_dict)
    swapped = [(own, released) for released, own in _HEAD]
    return _rename(state_dict, [*swapped, (_BACKBONE, '')])


def _rename(state_dict, table):
    """Swap the start of each name for that of the first row that has it."""
    renamed = OrderedDict()
    for name, value in state_dict.items():
        for old, new in table:
            if name.startswith(old):
                name = new + name[len(old) :]
                break
        renamed[name] = value
    return renamed
