"""CVMH-UNet's printed multiply-adds and parameters, VM-UNet's among them.

https://arxiv.org/abs/2410.05624, in a convention close to thop's, which knows layers alone.
Numbers are strings as they are printed, so that their rounding is known.
"""

from enum import Enum

from .table import PaperRow


class Reason(Enum):
    """Reasons why a number is not the one printed."""

    NORMS = (
        'Ours is 0.02 to 0.03 G above the printed figure. That without norms is below it, and no '
        'one number for an element of a norm, which is 4 here, meets all rows. Parameters are met.'
    )


# name, arch, fusion, printed G and M, reason
_PRINTED = (
    ('VM-UNet', 'tiny', 'Add', '4.09', '22.04', Reason.NORMS),
    ('+ CVSSBlock', 'tiny-cvss', 'Add', '5.61', '30.44', Reason.NORMS),
    ('+ MFMSBlock', 'tiny', 'MFMS', '4.18', '22.43', Reason.NORMS),
    ('CVMH-UNet', 'tiny-cvss', 'MFMS', '5.71', '30.84', None),
    ('with MS-CAM', 'tiny-cvss', 'MS-CAM', '5.69', '31.24', Reason.NORMS),
    ('with a shared MLP', 'tiny-cvss', 'MFMS, MLP', '5.71', '30.94', None),
)
ROWS: tuple[PaperRow, ...] = tuple(
    PaperRow('CVMH', name, 'VMUNetEncoder', arch, fusion, *numbers, 'layers', reason, side=256)
    for name, arch, fusion, *numbers, reason in _PRINTED
)
