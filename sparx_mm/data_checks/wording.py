"""Lists of names and counts in messages."""

from collections.abc import Sequence
from difflib import get_close_matches

# names in a line
MAX_NAMES = 20
# what leaves out the broken parts of an annotation file
CLEAN_COMMAND = 'tools/check_data.py CONFIG --skip-broken'


def closest(name: str, names: Sequence[str], cutoff: float = 0.7) -> str | None:
    """Return the name that another was probably meant to be.

    Args:
        name (str): A name that is none of ``names``.
        names (Sequence[str]): Names that there are.
        cutoff (float): Least similarity, from 0 to 1. Default: 0.7.

    Returns:
        str or None: One that differs in letter case or a few letters; None if
        there is none.
    """
    lower = {str(other).lower(): other for other in names}
    near = get_close_matches(str(name).lower(), lower, 1, cutoff)
    return lower[near[0]] if near else None


def quote_names(names: Sequence[str]) -> str:
    """Write names as a tuple, the first of them if there are many.

    Args:
        names (Sequence[str]): The names.
    """
    shown = ', '.join(repr(name) for name in names[:MAX_NAMES])
    return f'({shown}{", ..." if len(names) > MAX_NAMES else "," * (len(names) == 1)})'


def and_more(count: int, shown: int = 1) -> str:
    """Write how many items there are beside those that a line shows.

    Args:
        count (int): Number of all items.
        shown (int): Number of those shown. Default: 1.

    Returns:
        str: The text; ``''`` if all are shown.
    """
    return f' (and {count - shown} more)' if count > shown else ''
