"""Rows of printed tables, and our counts of their models."""

import os.path as osp
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

import torch
from torch import nn

from ...registry import MODELS
from ..complexity.counter import count_complexity
from ..complexity.table import Complexity
from ..models import load_model

# by task: a config with its heads, and the part that reads the backbone's maps
_TASKS = {
    'ImageNet': (None, None),
    'Mask R-CNN': ('mmdet/mask_rcnn_sparx_t_1x.py', 'neck'),
    'UperNet': ('mmseg/upernet_sparx_t.py', 'decode_head'),
    'Semantic FPN': ('mmseg/semantic_fpn_sparx_t.py', 'neck'),
}


# by task, the config of a U-shaped segmentor and options of it
_U_NETS = {
    'Add': ('vmunet', {}),
    'MFMS': ('cvmh_unet', {}),
    'MS-CAM': ('cvmh_unet', {'model.decode_head.fusion.global_branch': 'ms_cam'}),
    'MFMS, MLP': ('cvmh_unet', {'model.decode_head.fusion.global_branch': 'mlp'}),
}

# necks of classifiers that have more than pooling before their linear layer
_NECKS = dict(GroupMamba='ClassBlock')


class PaperRow(NamedTuple):
    """A model of a paper on one task, with the numbers printed for it.

    Args:
        table (str): Number or name of the table.
        name (str): Name of the model in the paper.
        backbone (str): Class of our backbone.
        arch (str or dict): Its arch.
        task (str): ``'ImageNet'``, ``'Mask R-CNN'``, ``'UperNet'``, ``'Semantic FPN'``, or
            the fusion of a U-shaped segmentor of six classes; with a ``config`` any name.
        flops (str): G multiply-adds, as printed; ``'-'`` if none are.
        params (str): M parameters, as printed.
        convention (str): Name of what counts; see ``CONVENTIONS``.
            Default: ``'paper'``.
        reason (Enum, optional): Why our counts are not those printed; its
            value is the text. None: they are. Default: None.
        side (int): Side of the image on ImageNet and for a U-shaped segmentor.
            Default: 224.
        config (str, optional): Path of the whole model in ``configs``, where its heads are
            not those of SparX. Default: None.
    """

    table: str
    name: str
    backbone: str
    arch: str | dict
    task: str
    flops: str
    params: str
    convention: str = 'paper'
    reason: Enum | None = None
    side: int = 224
    config: str | None = None


def make_rows(
    table: str,
    backbone: str,
    tasks: Sequence[str],
    models: Iterable[tuple],
    dense_convention: str = 'paper',
) -> Iterator[PaperRow]:
    """Yield the rows of a table that has numbers for several tasks.

    Args:
        table (str): Number or name of the table.
        backbone (str): Class of our backbone.
        tasks (Sequence[str]): Tasks in the order of the table.
        models (Iterable[tuple]): Name and arch of each model, then for each
            task the printed G and M and, if they are not met, the reason.
        dense_convention (str): Name of what counts beside ImageNet.
            Default: ``'paper'``.

    Yields:
        PaperRow: A model on a task.
    """
    for name, arch, *figures in models:
        for task, (flops, params, *reason) in zip(tasks, figures, strict=True):
            convention = 'paper' if task == 'ImageNet' else dense_convention
            yield PaperRow(table, name, backbone, arch, task, flops, params, convention, *reason)


class Classifier(nn.Module):
    """A backbone with the head that papers count it with: pooling and 1000 classes.

    Where a model norms and pools in the other order, that counts the same, as
    do layer norm and group norm.

    Args:
        backbone (dict): Config of the backbone.
        neck (str, optional): Class of what pools, built with ``in_channels``. None:
            pooling alone. Default: None.
    """

    def __init__(self, backbone: dict, neck: str | None = None) -> None:
        super().__init__()
        self.backbone = MODELS.build(dict(backbone, out_indices=-1))
        channels = self.backbone.num_features
        self.neck = neck and MODELS.build(dict(type=neck, in_channels=channels))
        self.fc = nn.Linear(channels, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (B, 3, H, W) to logits (B, 1000)."""
        (x,) = self.backbone(x)
        if self.neck:
            (x,) = self.neck(x)
            return self.fc(x)
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


def count_row(row: PaperRow, configs: str) -> Complexity:
    """Count a model of a paper.

    Args:
        row (PaperRow): The row.
        configs (str): Path of the folder ``configs`` of a clone.

    Returns:
        Complexity: Counts of one image: ``row.side`` on ImageNet and of U-shaped
        segmentors, 800x1280 for Mask R-CNN, 512x2048 for the segmentors, as papers count.

    Raises:
        UserError: If the library of a detector or segmentor is missing.
    """
    # no weights are drawn there, which takes two thirds of the time elsewhere
    with torch.device('meta'):
        model, shape = _build(row, configs)
    return count_complexity(model, shape, row.convention)


def _build(row, configs):
    if row.config is not None:
        return load_model(osp.join(configs, row.config))
    if row.task in _U_NETS:
        config, options = _U_NETS[row.task]
        archs = {f'model.{part}.arch': row.arch for part in ('backbone', 'decode_head')}
        path = osp.join(configs, f'mmseg/{config}_vaihingen_256.py')
        return load_model(path, {**archs, **options})[0], (row.side, row.side)
    backbone = dict(type=row.backbone, arch=row.arch)
    config, reader = _TASKS[row.task]
    if config is None:
        return Classifier(backbone, _NECKS.get(row.backbone)), (row.side, row.side)
    dims, _ = MODELS.get(row.backbone).map_channels(row.arch)
    options = {
        'model.backbone': dict(backbone, _delete_=True),
        f'model.{reader}.in_channels': dims,
    }
    if row.task == 'UperNet':
        options['model.auxiliary_head.in_channels'] = dims[2]
    return load_model(osp.join(configs, config), options)


def is_met(counted: float, printed: str) -> bool:
    """Return True if a number rounds to another one that was printed.

    Args:
        counted (float): Number before it is rounded.
        printed (str): Number with the decimals it was printed with.

    Returns:
        bool: True for both neighbours of a number half-way between them.

    Example:
        >>> is_met(5.247, '5.2'), is_met(5.26, '5.2')
        (True, False)
    """
    decimals = len(printed.partition('.')[2])
    # half a unit of the last digit, and a little for binary fractions
    return abs(counted - float(printed)) <= 0.5 * 10**-decimals + 1e-9


def is_row_met(row: PaperRow, complexity: Complexity) -> bool:
    """Return True if our counts round to the printed ones.

    Args:
        row (PaperRow): The row.
        complexity (Complexity): Our counts of its model.

    Returns:
        bool: False if either differs that is printed.
    """
    total = complexity.total()
    has_flops = row.flops == '-' or is_met(total.macs / 1e9, row.flops)
    return has_flops and is_met(total.params / 1e6, row.params)


def make_paper_table(configs: str, rows: Sequence[PaperRow]) -> Iterator[str]:
    """Write our counts beside a paper's.

    Args:
        configs (str): Path of the folder ``configs`` of a clone.
        rows (Sequence[PaperRow]): Rows to count.

    Yields:
        str: A line, as soon as it is counted; at the end the reasons of the
        rows that are not met, by number.
    """
    yield (
        f'{"table":>8}  {"model":<23}{"task":<13}{"G":>8}{"paper":>6}{"M params":>10}{"paper":>6}'
    )
    numbers: dict[Enum | None, int] = {}
    for row in rows:
        counted = count_row(row, configs)
        total, note = counted.total(), ''
        if not is_row_met(row, counted):
            note = f'  [{numbers.setdefault(row.reason, len(numbers) + 1)}]'
        yield (
            f'{row.table:>8}  {row.name:<23}{row.task:<13}'
            f'{total.macs / 1e9:>8.2f}{row.flops:>6}'
            f'{total.params / 1e6:>10.2f}{row.params:>6}{note}'
        )
    for reason, number in numbers.items():
        text = reason.value if reason else 'No reason is known.'
        yield from textwrap.wrap(f'[{number}] {text}', width=79, subsequent_indent='    ')
