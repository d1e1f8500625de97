"""Findings about a data set."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from ...errors import UserError, error_text
from ..coco.sets import CocoSet


class Fault(NamedTuple):
    """A fault of a data set.

    Args:
        text (str): The fault and what to do about it.
        part (str, optional): List of a file of COCO's format that has it, such as
            ``'annotations'``; ``'images'`` in other sets. None: it is the set's.
            Default: None.
        index (int, optional): Place in that list. Default: None.
        renumber (bool): True if a new id is all that the item needs. Default: False.
    """

    text: str
    part: str | None = None
    index: int | None = None
    renumber: bool = False


@dataclass
class SetReport:
    """Findings about a data set.

    Args:
        key (str): Key of its config.
        node (dict): Its config.
        samples (list[dict]): Its images, as its pipeline takes them.
        objects (Counter): Number of objects of each class; of label maps, the
            number of maps in which it occurs.
        widths (list[int]): Widths of its images in pixels.
        heights (list[int]): Their heights.
        notes (list[str]): What is odd and no fault.
        faults (list[Fault]): Its faults.
        classes (tuple[str, ...]): Class names of a set in another format.
        coco (CocoSet, optional): Facts about a set in COCO's format.
        same_as (str, optional): Key of the set before it that it repeats, whose report
            is its own too.
    """

    key: str
    node: dict
    samples: list[dict] = field(default_factory=list)
    objects: Counter = field(default_factory=Counter)
    widths: list[int] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    coco: CocoSet | None = None
    same_as: str | None = None

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Turn an error in the block into a fault."""
        try:
            yield
        except UserError as error:
            self.faults.append(Fault(str(error)))
        except Exception as error:
            # whatever is raised, because the data set's class is not ours
            self.faults.append(Fault(f'the set cannot be read: {error_text(error)}'))
