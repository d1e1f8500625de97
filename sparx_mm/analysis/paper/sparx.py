"""The paper's tables of multiply-adds and parameters, and our counts.

https://arxiv.org/abs/2409.09649. Printed numbers stand as they are printed, so
that their rounding is known.
"""

import os.path as osp
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from mmengine.registry import MODELS
from torch import nn

from ..complexity.counter import count_complexity
from ..complexity.table import Complexity
from ..models import load_model

# of each task: the config whose backbone is exchanged, and whose channels in
# it are the backbone's
_TASKS = {
    'ImageNet': (None, None),
    'Mask R-CNN': ('mmdet/mask_rcnn_{}_1x.py', 'neck'),
    'UperNet': ('mmseg/upernet_{}.py', 'decode_head'),
    'Semantic FPN': ('mmseg/semantic_fpn_{}.py', 'neck'),
}
_FAMILIES = dict(SparXMamba='sparx_t', SparXSwin='sparx_swin_t')
# why a number is not the one printed
_WITH = (
    'Met with the attention of the aggregators counted, which other rows like this one leave out.'
)
_WITHOUT = 'Met without the attention of the aggregators, which other rows like this one count.'
_UNKNOWN = (
    'Met neither with nor without the attention of the aggregators; '
    'what else the paper counts was not found.'
)
_CUT = '77.67 M, cut where other rows are rounded.'
_SWAPPED = (
    "The paper's numbers of these two rows stand in each other's place: each is met by the other."
)
_PADDING = (
    "Here what pads maps to whole windows is not projected. Swin's "
    'implementations project it, which is {} G more and gives {}.'
)
_DETECTOR = (
    _PADDING.format('2.9', '269.7')
    + " 45 M do not fit the paper's own 57 M of UperNet: the backbone "
    'that has these makes 46 M.'
)
_SEGMENTOR = _PADDING.format('3.5', '946.5') + ' What else the paper counts was not found.'
_BASE = 'No connections of 88 M were found that have 16.2 G.'
_BASE_PADDING = (
    'See the row on ImageNet. With what pads maps to whole '
    'windows there are 13 G more, which is more than printed.'
)
_INPUT = (
    '27.5 M are met by a window of 3 that the input of the stage is a '
    'member of; no fourth ganglion layer is there to be read.'
)
_DENSE = (
    'Of the readings of "all preceding layers" the nearest: all layers '
    'are ganglions, also of stages 0 and 1. With those of stage 1 as in '
    'T and none in stage 0 there are 30.5 M and 5.8 G.'
)
_VALUE = 'Queries and values joined as section 4.4 says; where the other 0.1 M are was not found.'
_SPATIAL = (
    'The paper does not say how the attention is built in; of the '
    "readings of FcaFormer's this one has its parameters. With the "
    'products of its attention there are 5.56 G.'
)
_ENCODING = 'Without the position encodings there are 0.04 M less than 30.83.'


class PaperRow(NamedTuple):
    """A model of the paper, on one task.

    Args:
        table (int): Number of the table.
        name (str): What the paper calls the model.
        backbone (str): Class of our backbone.
        arch (str): Its arch.
        task (str): ``'ImageNet'``, ``'Mask R-CNN'``, ``'UperNet'`` or
            ``'Semantic FPN'``.
        flops (str): G multiply-adds, as printed.
        params (str): M parameters, as printed.
        convention (str): What counts; see ``CONVENTIONS``.
        reason (str): Why our counts are not those printed, where they are
            not. Default: ``''``.
        side (int): Side of the image on ImageNet. Default: 224.
    """

    table: int
    name: str
    backbone: str
    arch: str
    task: str
    flops: str
    params: str
    convention: str
    reason: str = ''
    side: int = 224


def _rows(
    table: int,
    backbone: str,
    tasks: Sequence[str],
    models: Iterable[tuple],
    dense_convention: str = 'paper',
) -> Iterator[PaperRow]:
    """Yield the rows of a table whose models have figures for each task."""
    for name, arch, *figures in models:
        for task, (flops, params, *reason) in zip(tasks, figures):
            convention = 'paper' if task == 'ImageNet' else dense_convention
            yield PaperRow(table, name, backbone, arch, task, flops, params, convention, *reason)


# On ImageNet the attention of the aggregators is not among the paper's
# numbers, but for one. Of its detectors and segmentors more are met with it,
# of those of its ablations and its other scans more without
PAPER_ROWS: tuple[PaperRow, ...] = (
    *_rows(
        2,
        'SparXMamba',
        ['ImageNet'],
        [
            ('SparX-Mamba-T', 'tiny', ('5.2', '27')),
            ('SparX-Mamba-S', 'small', ('9.3', '47')),
            ('SparX-Mamba-B', 'base', ('15.9', '84')),
        ],
    ),
    *_rows(
        3,
        'SparXMamba',
        ['Mask R-CNN'],
        [
            ('SparX-Mamba-T', 'tiny', ('279', '47')),
            ('SparX-Mamba-S', 'small', ('361', '67')),
            ('SparX-Mamba-B', 'base', ('498', '103')),
        ],
        'paper-attention',
    ),
    *_rows(
        4,
        'SparXMamba',
        ['Semantic FPN', 'UperNet'],
        [
            ('SparX-Mamba-T', 'tiny', ('197', '31'), ('954', '57', _WITHOUT)),
            ('SparX-Mamba-S', 'small', ('281', '51'), ('1039', '77', _CUT)),
            ('SparX-Mamba-B', 'base', ('422', '87', _UNKNOWN), ('1181', '115', _UNKNOWN)),
        ],
        'paper-attention',
    ),
    *_rows(
        5,
        'SparXMamba',
        ['ImageNet'],
        [
            ('DGC-Mamba-T', 'tiny-dgc', ('5.5', '28.8')),
            ('DSN-Mamba-T', 'tiny-dsn', ('6.0', '30.9', _DENSE)),
            ('SparX-Mamba-T', 'tiny', ('5.2', '27.1')),
        ],
    ),
    *_rows(
        6,
        'SparXMamba',
        ['ImageNet'],
        [
            ('Concat', 'tiny-concat', ('5.5', '27.9')),
            ('w/o CGCA', 'tiny-no-cgca', ('5.3', '26.4', _VALUE)),
            ('CSA', 'tiny-csa', ('5.2', '26.0')),
            ('SRA', 'tiny-sra', ('5.3', '27.0')),
            ('SCA', 'tiny-sca', ('5.2', '27.9', _SPATIAL)),
            ('DMCA', 'tiny', ('5.2', '27.1')),
        ],
    ),
    *_rows(
        7,
        'SparXMamba',
        ['ImageNet', 'Semantic FPN'],
        [
            ('Baseline', 'tiny', ('5.2', '27.1'), ('197', '30.8', _WITH)),
            ('PlainNet', 'tiny-plainnet', ('5.4', '27.4'), ('199', '31.1')),
            ('S=1', 'tiny-s1', ('5.7', '29.9'), ('206', '33.7')),
            ('S=3', 'tiny-s3', ('5.1', '26.3'), ('194', '30.1')),
            ('S=4', 'tiny-s4', ('5.1', '25.8'), ('193', '29.6', _WITH)),
            ('M=2', 'tiny-m2', ('5.2', '26.8'), ('197', '30.6', _UNKNOWN)),
            ('M=4', 'tiny-m4', ('5.5', '27.5', _INPUT), ('198', '31.2')),
        ],
    ),
    *_rows(
        8,
        'SparXMamba',
        ['ImageNet', 'Semantic FPN'],
        [
            ('w/o DPE', 'tiny-no-dpe', ('5.2', '27.0'), ('196', '30.7', _ENCODING)),
            ('w/o Skip', 'tiny-no-skip', ('5.2', '27.0'), ('200', '30.8', _SWAPPED)),
            ('w/o SR', 'tiny-no-sr', ('5.4', '27.0'), ('196', '30.8', _SWAPPED)),
        ],
    ),
    *_rows(
        9,
        'SparXSwin',
        ['ImageNet', 'UperNet', 'Mask R-CNN'],
        [
            (
                'SparX-Swin-T',
                'tiny',
                ('4.7', '26', _WITH),
                ('948', '57', _SEGMENTOR),
                ('270', '45', _DETECTOR),
            ),
            (
                'SparX-Swin-B',
                'base',
                ('16.2', '88', _BASE),
                ('1201', '118', _BASE_PADDING),
                ('518', '107', _BASE_PADDING),
            ),
        ],
        'paper-attention',
    ),
    *_rows(
        10,
        'SparXMamba',
        ['ImageNet', 'UperNet'],
        [
            ('SparX-Mamba-T (SSM)', 'tiny-ssm', ('4.8', '25'), ('946', '55', _UNKNOWN)),
            ('SparX-Mamba-T (Bi-SSM)', 'tiny-bissm', ('5.1', '25'), ('951', '55')),
            ('SparX-Mamba-T (SS2D)', 'tiny', ('5.2', '27'), ('954', '57')),
        ],
    ),
    *(
        PaperRow(
            15,
            f'SparX-Mamba-T at {side}',
            'SparXMamba',
            'tiny',
            'ImageNet',
            flops,
            '27.1',
            'paper',
            side=side,
        )
        for side, flops in [
            (224, '5.2'),
            (384, '15.4'),
            (512, '27.4'),
            (640, '42.8'),
            (768, '61.7'),
            (1024, '109.6'),
        ]
    ),
)


class _Classifier(nn.Module):
    """A backbone with the head that the paper counts it with.

    Norm, pooling and 1000 classes. The norm is layer norm here and group norm
    in the released models, which count the same.
    """

    def __init__(self, backbone: dict) -> None:
        super().__init__()
        self.backbone = MODELS.build(dict(backbone, out_indices=(3,)))
        self.fc = nn.Linear(self.backbone.arch['embed_dims'][-1], 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (x,) = self.backbone(x)
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


def count_row(row: PaperRow, configs: str) -> Complexity:
    """Count a model of the paper.

    Args:
        row (PaperRow): The row.
        configs (str): The folder ``configs`` of a clone.

    Returns:
        Complexity: Of an image of ``row.side`` on ImageNet, 800x1280 for
        Mask R-CNN, 512x2048 for the segmentors, as in the paper.

    Raises:
        UserError: If the library of a detector or segmentor is missing.
    """
    backbone = dict(type=row.backbone, arch=row.arch)
    config, reader = _TASKS[row.task]
    if config is None:
        model, shape = _Classifier(backbone), (row.side, row.side)
    else:
        dims = MODELS.get(row.backbone).arch_zoo[row.arch]['embed_dims']
        options = {'model.backbone.type': row.backbone, 'model.backbone.arch.base': row.arch}
        options[f'model.{reader}.in_channels'] = list(dims)
        if row.task == 'UperNet':
            options['model.auxiliary_head.in_channels'] = dims[2]
        config = osp.join(configs, config.format(_FAMILIES[row.backbone]))
        model, shape = load_model(config, options)
    return count_complexity(model, shape, row.convention)


def is_met(counted: float, printed: str) -> bool:
    """Whether a number is another one's before it was rounded for print.

    Example:
        >>> is_met(5.247, '5.2'), is_met(5.26, '5.2')
        (True, False)
    """
    decimals = len(printed.partition('.')[2])
    # half a unit of the last digit, and a little for binary fractions
    return abs(counted - float(printed)) <= 0.5 * 10**-decimals + 1e-9


def is_row_met(row: PaperRow, complexity: Complexity) -> bool:
    """Whether both of our counts are those that the paper rounded."""
    total = complexity.total()
    return is_met(total.macs / 1e9, row.flops) and is_met(total.params / 1e6, row.params)


def make_paper_table(configs: str, rows: Sequence[PaperRow] = PAPER_ROWS) -> Iterator[str]:
    """Write our counts beside the paper's.

    Args:
        configs (str): The folder ``configs`` of a clone.
        rows (Sequence[PaperRow]): What to count. Default: all.

    Yields:
        str: A line, as soon as it is counted.
    """
    yield (
        f'{"table":>5}  {"model":<23}{"task":<13}{"G":>8}{"paper":>6}{"M params":>10}{"paper":>6}'
    )
    reasons: dict[str, int] = {}
    for row in rows:
        counted = count_row(row, configs)
        total, note = counted.total(), ''
        if not is_row_met(row, counted):
            number = reasons.setdefault(row.reason, len(reasons) + 1)
            note = f'  [{number}]'
        yield (
            f'{row.table:>5}  {row.name:<23}{row.task:<13}'
            f'{total.macs / 1e9:>8.2f}{row.flops:>6}'
            f'{total.params / 1e6:>10.2f}{row.params:>6}{note}'
        )
    for reason, number in reasons.items():
        yield from textwrap.wrap(f'[{number}] {reason}', width=79, subsequent_indent='    ')
