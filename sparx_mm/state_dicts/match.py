"""The tensors of a file that match a model's by name and shape."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from ..errors import UserError
from .image_channels import adapt_stems
from .keymap import is_bn_counter
from .names import summarize
from .position_table import find_resized, resize_tables

_GROUP = re.compile(r'stages\.\d+|[^.]+')


class CoverageError(UserError):
    """A file lacks weights that the model should have got from it."""


class Report(NamedTuple):
    """Tensors that a model takes from a file, and the differences of the two.

    All names are the model's own; names that only the file has are translated as
    far as the family's map knows them. Batch counters of batch norms are not listed.

    Args:
        own (Mapping): The model's tensors by name.
        weights (dict[str, Tensor]): Tensors to load.
        resized (list[str]): Tables that were resized to the model's windows.
        adapted (list[str]): Stems of RGB images that were adapted to the model's.
        reshaped (dict[str, str]): Both shapes, by name, where they differ.
        left_out (list[str]): Names of tensors that fit, in parts that do not fit as a
            whole.
        missing (list[str]): Names that the file does not have.
        unused (list[str]): Names that the model does not have.
        in_parts (bool): Count the tensors of each part in the text.
            Default: False.
    """

    own: Mapping[str, torch.Tensor]
    weights: dict[str, torch.Tensor]
    resized: list[str]
    adapted: list[str]
    reshaped: dict[str, str]
    left_out: list[str]
    missing: list[str]
    unused: list[str]
    in_parts: bool = False

    def __str__(self) -> str:
        """Summarise in one line."""
        text = f'{len(self.weights)} of {len(self.own)} tensors loaded'
        if self.in_parts:
            text += f' ({self._count_parts()})'
        if self.resized:
            text += f'; resized: {summarize(self.resized)}'
        for name in self.adapted:
            text += f'; {name}: adapted from 3 image channels to {self.own[name].shape[1]}'
        if self.reshaped:
            first = next(iter(self.reshaped.values()))
            text += f'; of another shape: {summarize(self.reshaped)}, {first}'
        if self.left_out:
            text += f'; left with those: {summarize(self.left_out)}'
        if self.missing:
            text += f'; not in the file: {summarize(self.missing)}'
        if self.missing or self.reshaped:
            text += '; these stay as they were initialised'
        if self.unused:
            text += f'; not used: {summarize(self.unused)}'
        return text

    def _count_parts(self):
        taken, own = (
            sum(v.numel() for v in some.values()) / 1e6 for some in (self.weights, self.own)
        )
        groups: dict = {}
        for name in self.own:
            group = groups.setdefault(_GROUP.match(name)[0], [0, 0])
            group[0] += name in self.weights
            group[1] += 1
        counts = ', '.join(f'{k} {n}/{all_}' for k, (n, all_) in groups.items())
        return f'{taken:.2f} of {own:.2f} M parameters: {counts}'


def match(own: Mapping[str, torch.Tensor], file: Mapping[str, Any], resize: bool = True) -> Report:
    """Match the tensors of a file with a model's by name and shape.

    Args:
        own (Mapping): The model's tensors by name.
        file (Mapping): The file's tensors, by the same names.
        resize (bool): Resize tables of position biases to the model's windows, and
            adapt stems of RGB images to its images. Default: True.

    Returns:
        Report: The tensors that fit, and the differences.
    """
    resized = resize_tables(file, own) if resize else file
    adapted = adapt_stems(resized, own) if resize else file
    shared = {name: adapted[name] for name in own if name in adapted}
    reshaped = {
        name: f'{describe_tensor(value)} instead of {describe_tensor(own[name])}'
        for name, value in shared.items()
        if not same_shape(value, own[name])
    }
    return Report(
        own,
        weights={name: value for name, value in shared.items() if name not in reshaped},
        resized=find_resized(file, resized),
        adapted=[name for name in resized if adapted[name] is not resized[name]],
        reshaped=reshaped,
        left_out=[],
        missing=[n for n in own if n not in file and not is_bn_counter(n)],
        unused=[n for n in file if n not in own and not is_bn_counter(n)],
    )


def same_shape(value: Any, own: torch.Tensor) -> bool:
    """Return True if a file's value can take the place of a model's tensor.

    Args:
        value (object): Anything that a file has under the tensor's name.
        own (Tensor): The model's.
    """
    return (
        isinstance(value, torch.Tensor)
        and value.shape == own.shape
        and value.is_floating_point() == own.is_floating_point()
    )


def is_finite(value: torch.Tensor, own: torch.Tensor) -> bool:
    """Return True if ``value`` is finite, or if the model's own tensor is not.

    Args:
        value (Tensor): A tensor of a file, of the same shape.
        own (Tensor): The model's; the value will have its dtype.
    """
    return bool(value.to(own.dtype).isfinite().all() or not own.isfinite().all())


def require_finite(report: Report) -> None:
    """Raise if a tensor to load is not finite; see `is_finite`.

    Args:
        report (Report): The tensors to load and the model's own.

    Raises:
        CoverageError: If one has NaN or infinity.
    """
    broken = [n for n, value in report.weights.items() if not is_finite(value, report.own[n])]
    if broken:
        raise CoverageError(
            f'it has NaN or infinity in {summarize(broken)}: the training '
            'that wrote it had diverged, or the file is damaged; take another'
        )


def describe_tensor(value: Any) -> str:
    """Describe a tensor's shape, with its dtype if that is not floating.

    Args:
        value (object): A tensor; of anything else the type is given.
    """
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    kind = '' if value.is_floating_point() else f' of {value.dtype}'
    return f'{tuple(value.shape)}{kind}'
