"""PlainMamba's printed multiply-adds and parameters.

https://arxiv.org/abs/2403.17695. Numbers are strings as they are printed, so that their
rounding is known.
"""

from enum import Enum

from .table import PaperRow


class Reason(Enum):
    """Reasons why a number is not the one printed."""

    NO_HEAD = "The parameters are those without the classifier's linear layer."
    NO_HEAD_CUT = f'{NO_HEAD} They are cut, not rounded.'
    CUT = 'The parameters are cut, not rounded.'


# task, table, config and printed M of L1, L2 and L3; with an adapter but in UperNet
_DENSE = (
    ('Mask R-CNN', 'COCO', 'mmdet/mask_rcnn_plainmamba_{}_1x.py', ('31', '53', '79')),
    ('RetinaNet', 'COCO', 'mmdet/retinanet_plainmamba_{}_1x.py', ('19', '40', '67')),
    ('UperNet', 'ADE20K', 'mmseg/upernet_plainmamba_{}.py', ('35', '55', '81')),
)
# those that rounding would print otherwise
_CUT = ('79', '40', '55')

ROWS: tuple[PaperRow, ...] = (
    *(
        PaperRow(
            'ImageNet',
            f'PlainMamba-{arch.upper()}',
            'PlainMamba',
            arch,
            'ImageNet',
            *figures,
            reason,
        )
        for arch, *figures, reason in (
            ('l1', '3.0', '7.3', 'plain', Reason.NO_HEAD_CUT),
            ('l2', '8.1', '25.7', 'plain', Reason.NO_HEAD_CUT),
            ('l3', '14.4', '50.5', 'plain', Reason.NO_HEAD),
        )
    ),
    *(
        PaperRow(
            table,
            f'PlainMamba-{arch.upper()}',
            'PlainMamba' if task == 'UperNet' else 'PlainMambaAdapter',
            arch,
            task,
            '-',
            params,
            'plain',
            Reason.CUT if params in _CUT else None,
            config=config.format(arch),
        )
        for task, table, config, printed in _DENSE
        for arch, params in zip(('l1', 'l2', 'l3'), printed)
    ),
)
