"""GroupMamba's printed multiply-adds and parameters.

https://arxiv.org/abs/2407.13772, from the tables of the authors' web page. Numbers
are strings as they are printed, so that their rounding is known.
"""

from enum import Enum

from .table import PaperRow

# the neck of a classifier norms the last map
_OUT_NORM = (dict(), dict(), dict(), None)


class Reason(Enum):
    """Reasons why a number is not the one printed."""

    NO_SCAN = 'The authors do not count the scans; without them the printed figure is met.'
    SMALL = 'No count of the released network is 7.0 G; without the scans it is 7.2 G.'
    DENSE = (
        'No dense code was released. Beyond ours are about 13 thousand multiply-adds for '
        'each pixel, in the detector as in the segmentor, which nothing in the released code '
        "explains. The parameters are cut, not rounded, and the segmentor's are those "
        'without the auxiliary head.'
    )


ROWS: tuple[PaperRow, ...] = (
    *(
        PaperRow(
            'ImageNet',
            f'GroupMamba-{arch.capitalize()}',
            'GroupMamba',
            dict(base=arch, out_norm=_OUT_NORM),
            'ImageNet',
            *figures,
            'plain',
            *reason,
        )
        for arch, figures, *reason in (
            ('tiny', ('4.6', '23'), Reason.NO_SCAN),
            ('small', ('7.0', '34'), Reason.SMALL),
            ('base', ('14', '57')),
        )
    ),
    *(
        PaperRow(
            table,
            'GroupMamba-Tiny',
            'GroupMamba',
            'tiny',
            task,
            *figures,
            'paper-interpolation',
            Reason.DENSE,
        )
        for table, task, figures in (
            ('COCO', 'Mask R-CNN', ('279', '40')),
            ('ADE20K', 'UperNet', ('955', '49')),
        )
    ),
)
