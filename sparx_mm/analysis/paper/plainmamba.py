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


ROWS: tuple[PaperRow, ...] = tuple(
    PaperRow(
        'ImageNet', f'PlainMamba-{arch.upper()}', 'PlainMamba', arch, 'ImageNet', *figures, reason
    )
    for arch, *figures, reason in (
        ('l1', '3.0', '7.3', 'plain', Reason.NO_HEAD_CUT),
        ('l2', '8.1', '25.7', 'plain', Reason.NO_HEAD_CUT),
        ('l3', '14.4', '50.5', 'plain', Reason.NO_HEAD),
    )
)
