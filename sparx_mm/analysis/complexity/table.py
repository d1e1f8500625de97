"""Costs of a model by part, and the table of them."""

import textwrap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

# names of a part and of those around it, from the outermost inwards
Path = tuple[str, ...]


class Part(NamedTuple):
    """Cost of a part of a model.

    Args:
        macs (int): Multiply-adds.
        params (int): Parameters.
        runs (bool): True if any of its modules ran.
    """

    macs: int
    params: int
    runs: bool


class Complexity(NamedTuple):
    """Cost of a model.

    Args:
        parts (dict[tuple[str], Part]): Costs by path, such as
            ``('backbone', 'stage 2', 'mixer')``, in the model's order, each
            without those of the parts inside.
        shape (tuple[int, int]): Height and width of the image.
        convention (str): Name of what counts, a key of ``CONVENTIONS``.
        rules (str): What counts, in words.
        boxes (dict[str, int]): Number of boxes that each RoI extractor was
            given, by its name.
    """

    parts: dict[Path, Part]
    shape: tuple[int, int]
    convention: str
    rules: str
    boxes: dict[str, int]

    def total(self, *path: str) -> Part:
        """Add up a part and those inside it.

        Args:
            *path (str): Its path, such as ``'backbone', 'stage 2'``. None is
                the whole model.

        Returns:
            Part: The sum.
        """
        inside = [part for place, part in self.parts.items() if place[: len(path)] == path]
        return Part(
            sum(part.macs for part in inside),
            sum(part.params for part in inside),
            any(part.runs for part in inside),
        )


def make_complexity_table(complexity: Complexity) -> str:
    """Write the counts as a table, with what was counted below.

    Args:
        complexity (Complexity): The counts.

    Returns:
        str: Several lines. Parts are indented below the one around them, whose
        ``rest`` is what it has besides.
    """
    total = complexity.total()
    rows = [*_rows(complexity), (0, 'total', total)]
    lines = [f'{"part":<24}{"G multiply-adds":>17}{"share":>8}{"M parameters":>14}']
    for depth, name, part in rows:
        macs, share = '-', '-'
        if part.runs:
            macs = f'{part.macs / 1e9:.3f}'
            share = f'{part.macs / max(total.macs, 1):.1%}'
        lines.append(f'{"  " * depth + name:<24}{macs:>17}{share:>8}{part.params / 1e6:>14.3f}')
    height, width = complexity.shape
    lines += ['', f'One image of {height}x{width}.']
    lines += [f'{name} reads {count} boxes.' for name, count in complexity.boxes.items()]
    if not all(part.runs for part in complexity.parts.values()):
        lines.append('-: did not run: used in training only, or only read.')
    return '\n'.join([*lines, *_rule_lines(complexity)])


def make_sweep_table(counted: Iterable[Complexity]) -> Iterator[str]:
    """Write the totals of a model at several sizes, as in SparX's paper, Table 15.

    Args:
        counted (Iterable[Complexity]): Counts of the same model.

    Yields:
        str: A line, as soon as its size is counted; what was counted comes last.
    """
    yield f'{"image":>10}{"G multiply-adds":>17}{"a Mpixel":>10}{"M parameters":>14}'
    for complexity in counted:
        (height, width), total = complexity.shape, complexity.total()
        macs = total.macs / 1e9
        density = macs / (height * width / 1e6)
        image = f'{height}x{width}'
        yield f'{image:>10}{macs:>17.3f}{density:>10.1f}{total.params / 1e6:>14.3f}'
    yield ''
    yield from _rule_lines(complexity)


def _rule_lines(complexity):
    return textwrap.wrap(f"Convention '{complexity.convention}': {complexity.rules}", width=79)


def _rows(complexity: Complexity, path: Path = ()):
    """Yield the depth, name and sum of the parts inside a part."""
    depth = len(path)
    inside = [place for place in complexity.parts if len(place) > depth and place[:depth] == path]
    for child in dict.fromkeys(place[: depth + 1] for place in inside):
        yield depth, child[-1], complexity.total(*child)
        yield from _rows(complexity, child)
    if inside and path in complexity.parts:
        yield depth, 'rest', complexity.parts[path]
