"""VSSD's printed multiply-adds and parameters: beside its released models, and at ICCV 2025.

https://arxiv.org/abs/2407.18559. Numbers are strings as they are printed, so
that their rounding is known.
"""

from enum import Enum

from .table import PaperRow, make_rows

_ONE_HEAD = (
    'The authors count the two products of a mixer for one of its heads; without those of the '
    'others the printed figure is met'
)


class Reason(Enum):
    """Reasons why a number is not the one printed."""

    ONE_HEAD = f'{_ONE_HEAD}.'
    ONE_HEAD_CUT = f'{_ONE_HEAD}. The parameters are cut, not rounded.'
    ONE_HEAD_NO_AUXILIARY = f'{_ONE_HEAD}. The parameters are those without the auxiliary head.'


ROWS: tuple[PaperRow, ...] = (
    *make_rows(
        'ImageNet',
        'VSSD',
        ['ImageNet'],
        [
            ('VSSD-M', 'micro', ('2.3', '14', Reason.ONE_HEAD)),
            ('VSSD-T', 'tiny', ('4.5', '24', Reason.ONE_HEAD)),
            ('VSSD-S', 'small', ('7.4', '40', Reason.ONE_HEAD)),
            ('VSSD-B', 'base', ('16.1', '89', Reason.ONE_HEAD)),
        ],
    ),
    *make_rows(
        'ICCV',
        'VSSD',
        ['ImageNet'],
        [
            ('VSSD-T', 'tiny-iccv', ('5.0', '28')),
            ('VSSD-S', 'small-iccv', ('8.1', '50')),
            ('VSSD-B', 'base', ('16.1', '89', Reason.ONE_HEAD)),
        ],
    ),
    *make_rows(
        'COCO',
        'VSSD',
        ['Mask R-CNN'],
        [
            ('VSSD-M', 'micro', ('220', '33', Reason.ONE_HEAD)),
            ('VSSD-T', 'tiny', ('265', '44', Reason.ONE_HEAD)),
            ('VSSD-S', 'small', ('325', '59', Reason.ONE_HEAD_CUT)),
        ],
        'paper-interpolation',
    ),
    *make_rows(
        'ADE20K',
        'VSSD',
        ['UperNet'],
        [
            ('VSSD-M', 'micro', ('893', '42', Reason.ONE_HEAD)),
            ('VSSD-T', 'tiny', ('941', '53', Reason.ONE_HEAD_NO_AUXILIARY)),
        ],
        'paper-interpolation',
    ),
)
