"""VMamba's printed multiply-adds and parameters: the tables beside its released models.

https://arxiv.org/abs/2401.10166. Numbers are strings as they are printed, so
that their rounding is known.
"""

from enum import Enum

from .table import PaperRow, make_rows


class Reason(Enum):
    """Reasons why a number is not the one printed."""

    SMALL_DETECTOR = (
        'The backbone has 177.9 G and the rest of the detector 171.0, with which the other '
        'rows are met: 384 G were not counted of this network.'
    )


ROWS: tuple[PaperRow, ...] = (
    *make_rows(
        'ImageNet',
        'VMamba',
        ['ImageNet'],
        [
            ('Vanilla-VMamba-T', 'tiny-v0', ('5.6', '23')),
            ('Vanilla-VMamba-S', 'small-v0', ('11.2', '44')),
            ('Vanilla-VMamba-B', 'base-v0', ('18.0', '76')),
            ('VMamba-T[s2l5]', 'tiny-s2l5', ('4.9', '31')),
            ('VMamba-S[s2l15]', 'small', ('8.7', '50')),
            ('VMamba-B[s2l15]', 'base', ('15.4', '89')),
            ('VMamba-T[s1l8]', 'tiny', ('4.9', '30')),
            ('VMamba-S[s1l20]', 'small-s1l20', ('8.6', '49')),
            ('VMamba-B[s1l20]', 'base-s1l20', ('15.2', '87')),
        ],
    ),
    *make_rows(
        'COCO',
        'VMamba',
        ['Mask R-CNN'],
        [
            ('Vanilla-VMamba-T', 'tiny-v0', ('286', '42')),
            ('Vanilla-VMamba-S', 'small-v0', ('400', '64')),
            ('Vanilla-VMamba-B', 'base-v0', ('540', '96')),
            ('VMamba-T[s2l5]', 'tiny-s2l5', ('270', '50')),
            ('VMamba-S[s2l15]', 'small', ('384', '70', Reason.SMALL_DETECTOR)),
            ('VMamba-B[s2l15]', 'base', ('485', '108')),
            ('VMamba-T[s1l8]', 'tiny', ('271', '50')),
        ],
        'paper-interpolation',
    ),
    *make_rows(
        'ADE20K',
        'VMamba',
        ['UperNet'],
        [
            ('Vanilla-VMamba-T', 'tiny-v0', ('964', '55')),
            ('Vanilla-VMamba-S', 'small-v0', ('1081', '76')),
            ('Vanilla-VMamba-B', 'base-v0', ('1226', '110')),
            ('VMamba-T[s2l5]', 'tiny-s2l5', ('948', '62')),
            ('VMamba-S[s2l15]', 'small', ('1028', '82')),
            ('VMamba-B[s2l15]', 'base', ('1170', '122')),
            ('VMamba-T[s1l8]', 'tiny', ('949', '62')),
        ],
        'paper-interpolation',
    ),
)
