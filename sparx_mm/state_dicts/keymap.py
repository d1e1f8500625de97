"""Translation between the tensors of released files and those of this package.

A `KeyMap` is the data of one family: which released name has which own name,
and how its shape differs. The translation of names looks at all names of a
file, because one name can have two meanings: ``patch_embed.0`` is a
convolution of 3x3 in one VMamba and of 4x4 in another.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch

from .shapes import SAME, Shape

T = TypeVar('T')

# start of the names of a layer's tensors in every backbone of this package
OWN_LAYER = 'stages.{}.layers.{}.'
_BN_COUNTER = 'num_batches_tracked'


class Row(NamedTuple):
    """A released name and the own name of the same tensor.

    ``{}`` stands for a number; both names have the same numbers in the same order. A
    name that ends in a dot is the start of names; any other name is whole.

    Args:
        released (str): Name in a released file.
        own (str): Name in a backbone of this package.
        shape (Shape): How their shapes differ. Default: not at all.
        where (str): The row holds only for a file that has a name with this
            start. Default: ``''``, for all files.
        beside (str): An own name, with the same numbers first, without which
            the row does not lead from an own name to a released one. Default:
            ``''``, it always does.
    """

    released: str
    own: str
    shape: Shape = SAME
    where: str = ''
    beside: str = ''


class KeyMap:
    """Names and shapes of a family of released files.

    The first row that fits a name counts, in both directions: aliases come
    after the name that is written.

    Args:
        family (str): Name of the family, as printed.
        layouts (Sequence[str]): Starts of the names of a layer's tensors in the
            files, as ``'layers.{}.blocks.{}.'``; the first one is written.
            Default: none.
        layer (Sequence[tuple]): Rows (see `Row`) of the names within a layer.
            Default: none.
        top (Sequence[tuple]): Rows of all other names of the backbone. Default: none.
        head (Sequence[tuple]): Rows of a classifier's head, whose own names are
            those of mmpretrain's ``ImageClassifier``. Default: none.
        mark (str): Pattern of the start of names, without a prefix, that no other
            family's file has. Default: matches no name.
        optional (str): Pattern of own names that a file of another task may
            lack, or have in addition. Batch counters of batch norms always may.
            Default: the output norms.
        derived (str): Pattern of names of tensors that a model computes anew and
            that are never loaded. Default: matches no name.
    """

    def __init__(
        self,
        family: str,
        layouts: Sequence[str] = (),
        layer: Sequence[tuple] = (),
        top: Sequence[tuple] = (),
        head: Sequence[tuple] = (),
        mark: str = r'(?!)',
        optional: str = r'norms\..*',
        derived: str = r'(?!)',
    ) -> None:
        self.family = family
        self.head = [Row(*row) for row in head]
        in_layer = [Row(*row) for row in layer]
        rows = [
            row._replace(
                released=start + row.released,
                own=OWN_LAYER + row.own,
                beside=row.beside and OWN_LAYER + row.beside,
            )
            for start in layouts
            for row in in_layer
        ] + [Row(*row) for row in top]
        self._rows = [(row, compile_name(row.released), compile_name(row.own)) for row in rows]
        self._mark = re.compile(rf'(|.*\.)(?:{mark})')
        self._optional = re.compile(optional)
        self._derived = re.compile(derived)

    def __repr__(self) -> str:
        """Name the family."""
        return f'KeyMap({self.family!r})'

    def marked_prefix(self, name: str) -> str | None:
        """Return the prefix of a name that only this family has.

        Args:
            name (str): Any name of a state dict.

        Returns:
            str, optional: What stands before the family's own part, ``''`` or
            ending in a dot; None if the name does not tell this family.
        """
        match = self._mark.match(name)
        return match and match[1]

    def is_required(self, own_name: str) -> bool:
        """Return True if every file of the family must have a tensor.

        Args:
            own_name (str): Name of the tensor in a backbone of this package.
        """
        return not (self._optional.fullmatch(own_name) or is_bn_counter(own_name))

    def own_names(self, names: Iterable[str]) -> dict[str, str]:
        """Find the own names of a released file's names.

        Args:
            names (Iterable[str]): All names of a file, without a prefix.

        Returns:
            dict[str, str]: Own name by released name; only of released names of the
            backbone.

        Example:
            >>> from sparx_mm.state_dicts import SPARX
            >>> SPARX.own_names(['layers.0.blocks.1.op.A_logs', 'head.bias'])
            {'layers.0.blocks.1.op.A_logs': 'stages.0.layers.1.mixer.A_log'}
        """
        names = list(names)
        return {name: new for name, (new, _) in self._translations(names, to_own=True).items()}

    def released_names(self, names: Iterable[str]) -> dict[str, str]:
        """Find the released names of a backbone's own names.

        Args:
            names (Iterable[str]): Names in a backbone of this package, without a
                prefix.

        Returns:
            dict[str, str]: Released name by own name; only of names that the
            released files of the family know.

        Example:
            >>> from sparx_mm.state_dicts import SPARX
            >>> SPARX.released_names(['stem.0.weight'])
            {'stem.0.weight': 'patch_embed.0.weight'}
        """
        names = list(names)
        return {name: new for name, (new, _) in self._translations(names, to_own=False).items()}

    def to_own(self, state_dict: Mapping[str, T], prefix: str = '') -> dict[str, T]:
        """Translate the released tensors of a backbone in a state dict.

        Args:
            state_dict (Mapping): Names and values; it is not changed.
            prefix (str): Start of the backbone's names, for example
                ``'backbone.'``. Default: ``''``.

        Returns:
            dict: Own names and shapes, in the same order. Names that are not
            released backbone names under ``prefix`` and values that are no tensors
            are the same.
        """
        return self._translate(state_dict, prefix, to_own=True)

    def to_released(self, state_dict: Mapping[str, T], prefix: str = '') -> dict[str, T]:
        """Invert `to_own`.

        Args:
            state_dict (Mapping): Names and values; it is not changed.
            prefix (str): Start of the backbone's names. Default: ``''``.

        Returns:
            dict: Released names and shapes, in the same order.
        """
        return self._translate(state_dict, prefix, to_own=False)

    def drop_derived(self, state_dict: Mapping[str, T], prefix: str = '') -> dict[str, T]:
        """Drop the tensors that a model computes anew.

        Args:
            state_dict (Mapping): Released names and values; it is not changed.
            prefix (str): Start of the backbone's names. Default: ``''``.

        Returns:
            dict: The other names and values.
        """
        return {
            name: value
            for name, value in state_dict.items()
            if not (name.startswith(prefix) and self._derived.fullmatch(name, len(prefix)))
        }

    def _translate(self, state_dict, prefix, to_own):
        under = [name[len(prefix) :] for name in state_dict if name.startswith(prefix)]
        table = self._translations(under, to_own)
        translated = {}
        for name, value in state_dict.items():
            found = table.get(name[len(prefix) :]) if name.startswith(prefix) else None
            if found:
                new, shape = found
                name = prefix + new
                if isinstance(value, torch.Tensor):
                    value = shape.to_own(value) if to_own else shape.to_released(value)
            translated[name] = value
        return translated

    def _translations(self, names, to_own) -> dict[str, tuple[str, Shape]]:
        rows = [
            # released names have one meaning each in a layer
            ((released, row.own, '') if to_own else (own, row.released, row.beside), row.shape)
            for row, released, own in self._rows
            # own names have one meaning each
            if not (to_own and row.where) or any(n.startswith(row.where) for n in names)
        ]
        found, there = {}, set(names)
        for name in names:
            for (source, target, beside), shape in rows:
                match = source.fullmatch(name)
                if match and (not beside or beside.format(*match.groups()) in there):
                    found[name] = (fill_name(target, match), shape)
                    break
        return found


def compile_name(template: str) -> re.Pattern:
    """Compile a name with ``{}`` for numbers; see `Row`.

    Args:
        template (str): The name, or a start of names that ends in a dot.

    Returns:
        re.Pattern: Its groups are the numbers and, of a start, the rest.
    """
    pattern = r'(\d+)'.join(map(re.escape, template.split('{}')))
    return re.compile(pattern + ('(.+)' if template.endswith('.') else ''))


def fill_name(template: str, match: re.Match) -> str:
    """Fill a template with the groups of a match of another; see `compile_name`.

    Args:
        template (str): The name to fill.
        match (re.Match): Match of a name with as many ``{}``.
    """
    return (template + ('{}' if template.endswith('.') else '')).format(*match.groups())


def is_bn_counter(name: str) -> bool:
    """Return True if a tensor counts the batches that a batch norm has seen.

    Args:
        name (str): Its name; no output depends on the tensor.
    """
    return name.endswith(_BN_COUNTER)
