"""Short texts for many names of tensors."""

import re
from collections.abc import Iterable


def fold_names(names: Iterable[str]) -> dict[str, list[str]]:
    """Group names that differ only in numbers.

    Args:
        names (Iterable[str]): Names of parameters.

    Returns:
        dict[str, list[str]]: The names of each group by their pattern, a name with
        ``*`` for the numbers that differ.

    Example:
        >>> fold_names(['a.0.x.1', 'a.0.x.2', 'b.0'])
        {'a.0.x.*': ['a.0.x.1', 'a.0.x.2'], 'b.0': ['b.0']}
    """
    groups: dict = {}
    for name in names:
        groups.setdefault(re.sub(r'\b\d+\b', '*', name), []).append(name)
    folded = {}
    for group in groups.values():
        columns = map(set, zip(*(name.split('.') for name in group)))
        parts = ['*' if len(column) > 1 else column.pop() for column in columns]
        folded['.'.join(parts)] = group
    return folded


def summarize(names: Iterable[str], most: int = 3) -> str:
    """Name the first few of many tensors, with layers folded together.

    Args:
        names (Iterable[str]): Names of tensors.
        most (int): Maximum number of patterns to name. Default: 3.

    Returns:
        str: The patterns, and the number of names that are left.

    Example:
        >>> summarize(['norms.0.weight', 'norms.1.weight', 'head.bias'])
        'norms.*.weight (2), head.bias'
    """
    folded = fold_names(names)
    shown = [
        f'{pattern} ({len(alike)})' if len(alike) > 1 else alike[0]
        for pattern, alike in list(folded.items())[:most]
    ]
    rest = sum(map(len, list(folded.values())[most:]))
    return ', '.join(shown) + (f' and {rest} more' if rest else '')
