"""Translation between the tensors of released files and those of this package.

A `KeyMap` is the data of one family: which released name has which own name,
and how its shape differs. The translation of names looks at all names of a
file, because one name can have two meanings: ``patch_embed.0`` is a
convolution of 3x3 in one VMamba and of 4x4 in another.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from .rows import Row, RowTable

T = TypeVar('T')

# starts of the names of a layer's tensors in the backbones of this package: with stages,
# and without
OWN_LAYER = 'stages.{}.layers.{}.'
PLAIN_LAYER = 'layers.{}.'
_BN_COUNTER = 'num_batches_tracked'
_WEIGHTED_SUM = 'weighted_sum.weight'


class KeyMap:
    """Names and shapes of a family of released files.

    The first row that fits a name counts, in both directions: aliases come
    after the name that is written.

    Args:
        family (str): Name of the family, as printed.
        layouts (Sequence[str or tuple[str, str]]): Starts of the names of a layer's
            tensors in the files, as ``'layers.{}.blocks.{}.'``; the first one is
            written. A pair has an own start too, which is `OWN_LAYER` otherwise.
            Default: none.
        layer (Sequence[tuple]): Rows (see `Row`) of the names within a layer.
            Default: none.
        top (Sequence[tuple]): Rows of all other names of the backbone. Default: none.
        head (Sequence[tuple]): Rows of the head of a model that is released whole. Own
            names are those of mmpretrain's ``ImageClassifier`` or mmseg's
            ``EncoderDecoder``. Default: none.
        mark (str): Pattern of the start of names, without a prefix, that no other
            family's file has. Default: matches no name.
        optional (str): Pattern of own names that a file of another task may
            lack, or have in addition. Batch counters of batch norms always may.
            Default: the output norms.
        whole (str): Pattern of optional names of a part that a file has whole or not
            at all. Default: matches no name.
        derived (str): Pattern of names of tensors that a model computes anew and
            that are never loaded. Default: matches no name.
        root (str): Start of all names in a model that is released whole. Default: ``''``.
    """

    def __init__(
        self,
        family: str,
        layouts: Sequence[str | tuple[str, str]] = (),
        layer: Sequence[tuple] = (),
        top: Sequence[tuple] = (),
        head: Sequence[tuple] = (),
        mark: str = r'(?!)',
        optional: str = r'norms\..*',
        whole: str = r'(?!)',
        derived: str = r'(?!)',
        root: str = '',
    ) -> None:
        self.family, self.root = family, root
        self.head = RowTable(Row(*row) for row in head)
        starts = [(one, OWN_LAYER) if isinstance(one, str) else one for one in layouts]
        in_layer = [
            row._replace(
                released=released + row.released,
                own=own + row.own,
                beside=row.beside and own + row.beside,
            )
            for released, own in starts
            for row in (Row(*row) for row in layer)
        ]
        self._table = RowTable([*in_layer, *(Row(*row) for row in top)])
        self._mark = re.compile(rf'(|.*\.)(?:{mark})')
        self._optional = re.compile(optional)
        self._whole = re.compile(whole)
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
        return self.is_part(own_name) and not starts_neutral(own_name)

    def is_part(self, own_name: str) -> bool:
        """Return True if a model must have a tensor that a file of its arch has.

        Args:
            own_name (str): Name of the tensor in a backbone of this package.
        """
        return not (self._optional.fullmatch(own_name) or is_bn_counter(own_name))

    def required_names(self, names: Iterable[str], file: Iterable[str]) -> list[str]:
        """List the tensors that a certain file of the family must have.

        Args:
            names (Iterable[str]): Names in a backbone of this package.
            file (Iterable[str]): Own names of the file's tensors.
        """
        begun = any(map(self._whole.fullmatch, file))
        return [
            name
            for name in names
            if self.is_required(name)
            or (begun and self._whole.fullmatch(name) and not is_bn_counter(name))
        ]

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
        return {name: own for name, (own, *_) in self._table.find_own(list(names)).items()}

    def released_names(self, names: Iterable[str]) -> dict[str, str]:
        """Find the released names of a backbone's own names.

        Args:
            names (Iterable[str]): Names in a backbone of this package, without a
                prefix.

        Returns:
            dict[str, str]: Released name by own name, of a tensor that several are
            joined to the first one's; only of names that the released files of the
            family know.

        Example:
            >>> from sparx_mm.state_dicts import SPARX
            >>> SPARX.released_names(['stem.0.weight'])
            {'stem.0.weight': 'patch_embed.0.weight'}
        """
        found = self._table.find_released(list(names))
        return {name: released[0] for name, (released, _) in found.items()}

    def to_own(self, state_dict: Mapping[str, T], prefix: str = '') -> dict[str, T]:
        """Translate the released tensors of a backbone in a state dict.

        Args:
            state_dict (Mapping): Names and values; it is not changed.
            prefix (str): Start of the backbone's names, for example
                ``'backbone.'``. Default: ``''``.

        Returns:
            dict: Own names and shapes, in the same order. Names that are not
            released backbone names under ``prefix`` and values that are no tensors
            are the same. Tensors that one is joined of have its place when all of
            them are there.
        """
        return self._table.to_own(state_dict, prefix)

    def to_released(self, state_dict: Mapping[str, T], prefix: str = '') -> dict[str, T]:
        """Invert `to_own`.

        Args:
            state_dict (Mapping): Names and values; it is not changed.
            prefix (str): Start of the backbone's names. Default: ``''``.

        Returns:
            dict: Released names and shapes, in the same order.
        """
        return self._table.to_released(state_dict, prefix)

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


def is_bn_counter(name: str) -> bool:
    """Return True if a tensor counts the batches that a batch norm has seen.

    Args:
        name (str): Its name; no output depends on the tensor.
    """
    return name.endswith(_BN_COUNTER)


def starts_neutral(name: str) -> bool:
    """Return True if a model with a tensor as it starts computes what one without it does.

    Args:
        name (str): Its name; the scalars of weighted sums are such tensors.
    """
    return name.endswith(_WEIGHTED_SUM)
