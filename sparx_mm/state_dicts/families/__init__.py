"""One map of names for each family of files."""

import re
from collections.abc import Iterable

from ..keymap import KeyMap
from .groupmamba import GROUPMAMBA
from .plainmamba import PLAINMAMBA
from .sparx import SPARX
from .swin import SWIN
from .vim import VIM
from .vmamba import VMAMBA
from .vmunet import VMUNET
from .vssd import VSSD

# families that have a backbone here
FAMILIES = (SPARX, VMAMBA, VSSD, GROUPMAMBA, PLAINMAMBA, VIM, VMUNET)
# files of these families have such layers, beside which a mark counts: other
# networks have a `stem.0.bias` too
_LAYER = re.compile(
    r'(|.*\.)(?:(?:layers\.\d+\.blocks|stages\.\d+\.layers|block[1-4])\.\d+'
    r'|layers\.\d+\.(?:mamba|mixer))\..*'
)
# a layer has a norm before its mixer, or before its FFN if the mixer has its own
_OWN_LAYER = re.compile(r'(|.*\.)stages\.\d+\.layers\.\d+\.norm[12]\..+')


def find_families(names: Iterable[str]) -> dict[str, KeyMap | None]:
    """Find the backbones in a file and the families that they belong to.

    Args:
        names (Iterable[str]): Names of a state dict, own or released.

    Returns:
        dict[str, KeyMap or None]: Family by the prefix of a backbone's names, for
        example ``'backbone.'``, or ``''``. None stands for a backbone with own
        names that several families could have.
    """
    names = list(names)
    found: dict[str, KeyMap | None] = {}
    layered = {match[1] for match in map(_LAYER.fullmatch, names) if match}
    # the last one first, because a family may have parts that mark an earlier one
    for family in (*reversed(FAMILIES), SWIN):
        for prefix in map(family.marked_prefix, names):
            if prefix is not None and (prefix in layered or family is SWIN):
                found.setdefault(prefix, family)
    for match in map(_OWN_LAYER.fullmatch, names):
        if match:
            found.setdefault(match[1], None)
    return found


def find_prefixes(names: Iterable[str]) -> list[str]:
    """Find the prefixes of the backbones in a file.

    Args:
        names (Iterable[str]): Names of a state dict, own or released.

    Returns:
        list[str]: Each prefix, for example ``'backbone.'``, or ``''``; empty if the
        file has no backbone of one of our families.
    """
    return [prefix for prefix, family in find_families(names).items() if family is not SWIN]
