"""Rows of released and own names, and the translation of a state dict by them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch

from .shapes import SAME, Shape

T = TypeVar('T')
# stands in a released name for the number of a part
_PART = '#'


class Row(NamedTuple):
    """A released name and the own name of the same tensor.

    ``{}`` stands for a number; both names have the same numbers in the same order. A
    name that ends in a dot is the start of names; any other name is whole.

    Args:
        released (str): Name in a released file. In one with ``parts``, ``#`` stands
            for the number of the part, from 1.
        own (str): Name in a backbone of this package.
        shape (Shape): How their shapes differ. Default: not at all.
        where (str): The row holds only for a file that has a name with this
            start. Default: ``''``, for all files.
        beside (str): An own name, with the same numbers first, without which
            the row does not lead from an own name to a released one. Default:
            ``''``, it always does.
        parts (int): Number of released tensors that are the own one when they are
            joined along their first axis. Default: 1.
    """

    released: str
    own: str
    shape: Shape = SAME
    where: str = ''
    beside: str = ''
    parts: int = 1


class RowTable:
    """Names and shapes of two layouts.

    The first row that fits a name counts, in both directions.

    Args:
        rows (Iterable[Row]): The rows.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = [(row, compile_name(row.released), compile_name(row.own)) for row in rows]

    def find_own(self, names: Sequence[str]) -> dict[str, tuple[str, Row, int]]:
        """Find the own names of a released file's names.

        Args:
            names (Sequence[str]): All names of the file, without a prefix.

        Returns:
            dict: By released name, the own name, the row, and the number of the part
            from 1, which is 0 in a row without parts.
        """
        rows = [
            (row, released)
            for row, released, _ in self._rows
            # own names have one meaning each
            if not row.where or any(name.startswith(row.where) for name in names)
        ]
        found = {}
        for name in names:
            for row, pattern in rows:
                match = pattern.fullmatch(name)
                part = match and int(match.groupdict().get('part', 0))
                if match and (row.parts == 1 or 1 <= part <= row.parts):
                    found[name] = fill_name(row.own, match), row, part
                    break
        return found

    def find_released(self, names: Sequence[str]) -> dict[str, tuple[tuple[str, ...], Row]]:
        """Find the released names of own names.

        Args:
            names (Sequence[str]): All names of a backbone of this package.

        Returns:
            dict: By own name, the released names, one for each part, and the row.
        """
        found, there = {}, set(names)
        for name in names:
            for row, _, pattern in self._rows:
                match = pattern.fullmatch(name)
                if match and (not row.beside or row.beside.format(*match.groups()) in there):
                    released = fill_name(row.released, match)
                    parts = range(1, row.parts + 1)
                    found[name] = tuple(released.replace(_PART, str(k)) for k in parts), row
                    break
        return found

    def to_own(self, state_dict: Mapping[str, T], prefix: str = '') -> dict[str, T]:
        """Translate released names and tensors; see `KeyMap.to_own`.

        Args:
            state_dict (Mapping): Names and values; it is not changed.
            prefix (str): Start of the names that are translated. Default: ``''``.
        """
        table = self.find_own(_names_under(state_dict, prefix))
        state_dict, table = _join_parts(state_dict, prefix, table)
        translated = {}
        for name, value in state_dict.items():
            if name.startswith(prefix) and name[len(prefix) :] in table:
                own, row, _ = table[name[len(prefix) :]]
                name = prefix + own
                if isinstance(value, torch.Tensor):
                    value = row.shape.to_own(value)
            translated[name] = value
        return translated

    def to_released(self, state_dict: Mapping[str, T], prefix: str = '') -> dict[str, T]:
        """Invert `to_own`.

        Args:
            state_dict (Mapping): Names and values; it is not changed.
            prefix (str): Start of the names that are translated. Default: ``''``.
        """
        table = self.find_released(_names_under(state_dict, prefix))
        translated = {}
        for name, value in state_dict.items():
            if not name.startswith(prefix) or name[len(prefix) :] not in table:
                translated[name] = value
                continue
            released, row = table[name[len(prefix) :]]
            if isinstance(value, torch.Tensor):
                value = row.shape.to_released(value)
            for target, part in zip(released, _split(value, row.parts)):
                translated[prefix + target] = part
        return translated


def compile_name(template: str) -> re.Pattern:
    """Compile a name with ``{}`` for numbers; see `Row`.

    Args:
        template (str): The name, or a start of names that ends in a dot.

    Returns:
        re.Pattern: Its groups are the numbers and, of a start, the rest; a group
        ``part`` is the number of the part.
    """
    pattern = r'(\d+)'.join(map(re.escape, template.split('{}')))
    pattern = pattern.replace(re.escape(_PART), r'(?P<part>\d+)')
    return re.compile(pattern + ('(.+)' if template.endswith('.') else ''))


def fill_name(template: str, match: re.Match) -> str:
    """Fill a template with the groups of a match of another; see `compile_name`.

    Args:
        template (str): The name to fill.
        match (re.Match): Match of a name with as many ``{}``.
    """
    part = match.re.groupindex.get('part')
    groups = [group for i, group in enumerate(match.groups(), 1) if i != part]
    return (template + ('{}' if template.endswith('.') else '')).format(*groups)


def _names_under(state_dict, prefix):
    return [name[len(prefix) :] for name in state_dict if name.startswith(prefix)]


def _join_parts(state_dict, prefix, table):
    """Put joined tensors in the place of their first parts; incomplete ones stay parts."""
    groups: dict[str, tuple] = {}
    for name, (own, row, part) in table.items():
        if row.parts > 1:
            groups.setdefault(own, (row, {}))[1][part] = name
    if not groups:
        return state_dict, table
    values, table = dict(state_dict), dict(table)
    for row, by_part in groups.values():
        first, *others = (by_part[part] for part in sorted(by_part))
        joined = _join([values[prefix + name] for name in (first, *others)], row.parts)
        if joined is None:
            del table[first]
        else:
            values[prefix + first] = joined
        for name in others:
            del table[name]
            if joined is not None:
                del values[prefix + name]
    return values, table


def _join(values, parts):
    """Join tensors along their first axis; return None if one is missing or does not fit."""
    if len(values) < parts or not all(isinstance(v, torch.Tensor) for v in values):
        return values[0] if len(values) == parts else None
    shapes = {value.shape for value in values}
    return torch.cat(values) if len(shapes) == 1 and values[0].dim() else None


def _split(value, parts):
    """Split a tensor along its first axis; every part of anything else is the whole."""
    if parts == 1 or not isinstance(value, torch.Tensor):
        return [value] * parts
    return [part.clone() for part in value.tensor_split(parts)]
