"""GroupMamba's counts to the digit, and the reasons of its rows."""

from math import ceil

import pytest
from paper_counts import counted, numbers

from sparx_mm import GroupMamba
from sparx_mm.analysis.paper import table
from sparx_mm.analysis.paper.groupmamba import ROWS, Reason

pytestmark = pytest.mark.stack
# parameters with one linear layer; G at 224 of all multiply-adds but norms
CLASSIFIERS = {
    'tiny': (22912917, 4.666),
    'small': (34268555, 7.228),
    'base': (56637838, 14.103),
}
BY_TASK = {(row.task, row.name.split('-')[1].lower()): row for row in ROWS}


def scans(arch, side=224):
    """G of the scans, one state of each channel, in one direction."""
    arch, side = GroupMamba.arch_zoo[arch], ceil(side / 4)
    # of the class block, on one position
    macs = 10 * arch['embed_dims'][-1]
    for channels, depth in zip(arch['embed_dims'], arch['depths']):
        macs += depth * 10 * channels * side**2
        side = ceil(side / 2)
    return macs / 1e9


@pytest.mark.parametrize('arch', CLASSIFIERS)
def test_classifiers(arch):
    params, plain = CLASSIFIERS[arch]
    row = BY_TASK['ImageNet', arch]
    assert counted(row).total().params == params
    assert round(numbers(row)[0], 3) == plain


def test_reasons_hold():
    rows = {row.reason: row for row in ROWS}
    giga, mega = numbers(rows[Reason.NO_SCAN])
    assert not table.is_met(giga, '4.6') and table.is_met(giga - scans('tiny'), '4.6')
    assert round(numbers(rows[Reason.SMALL])[0] - scans('small'), 1) == 7.2
    assert set(rows) == {*Reason, None}


def test_dense_rows_have_the_same_more_of_each_pixel():
    more = {}
    for task, pixels in (('Mask R-CNN', 800 * 1280), ('UperNet', 512 * 2048)):
        row = BY_TASK[task, 'tiny']
        giga, mega = numbers(row)
        more[task] = (float(row.flops) - giga) * 1e9 / pixels
        if task == 'UperNet':
            mega -= counted(row).total('auxiliary_head').params / 1e6
        assert int(mega) == int(row.params)
    # printed in G, of which half a unit is 500 multiply-adds for each pixel
    assert all(12e3 < number < 13.5e3 for number in more.values()), more
