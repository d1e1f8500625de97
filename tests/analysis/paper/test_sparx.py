"""The reasons of SparX's rows hold: what would be met if the reason were none."""

from math import ceil

import pytest
from paper_counts import counted, numbers

from sparx_mm import SparXSwin
from sparx_mm.analysis import count_complexity
from sparx_mm.analysis.paper import table
from sparx_mm.analysis.paper.sparx import ROWS, Reason

pytestmark = pytest.mark.stack


REASONED = [row for row in ROWS if row.reason]


def find_row(table, name, task):
    (row,) = (r for r in ROWS if (r.table, r.name, r.task) == (table, name, task))
    return row


def other_convention(row):
    """Return the row with the aggregators' attention counted, or no longer."""
    (name,) = {'paper', 'paper-attention'} - {row.convention}
    return row._replace(convention=name)


def padding_giga(row):
    """Return what queries, keys, values and outputs beyond the map would cost."""
    arch = SparXSwin.arch_zoo[row.arch]
    shape = (800, 1280) if row.task == 'Mask R-CNN' else (512, 2048)
    extra, sides = 0, [ceil(side / 4) for side in shape]
    for dim, depth in zip(arch['embed_dims'], arch['depths']):
        height, width = (ceil(side / 7) * 7 for side in sides)
        positions = height * width - sides[0] * sides[1]
        extra += depth * positions * 4 * dim * dim
        sides = [ceil(side / 2) for side in sides]
    return extra / 1e9


def check_attention(row, giga, mega):
    assert table.is_row_met(row, counted(other_convention(row)))


def check_interpolation(row, giga, mega):
    assert not table.is_row_met(row, counted(other_convention(row)))
    assert table.is_row_met(row, counted(row._replace(convention='paper-interpolation')))


def check_unknown(row, giga, mega):
    for convention in ('paper', 'paper-attention', 'paper-interpolation'):
        assert not table.is_row_met(row, counted(row._replace(convention=convention)))


def check_swapped(row, giga, mega):
    (name,) = {'w/o Skip', 'w/o SR'} - {row.name}
    twin = find_row(row.table, name, row.task)
    assert table.is_row_met(twin, counted(row))


def check_dense(row, giga, mega):
    arch = dict(base=row.arch, connections=dict(starts=(None, 1, 0, 0)))
    model = table.Classifier(dict(type='SparXMamba', arch=arch))
    total = count_complexity(model, (224, 224)).total()
    assert f'{total.params / 1e6:.1f} {total.macs / 1e9:.1f}' == '30.5 5.8'


def check_spatial(row, giga, mega):
    assert table.is_met(mega, row.params)
    total = counted(other_convention(row)).total()
    assert f'{total.macs / 1e9:.2f}' == '5.56'


def check_encoding(row, giga, mega):
    whole = numbers(find_row('7', 'Baseline', row.task))[1]
    assert f'{whole:.2f} {whole - mega:.2f}' == '30.83 0.04'


def check_detector(row, giga, mega):
    extra = padding_giga(row)
    assert f'{extra:.1f} {giga + extra:.1f}' == '2.9 269.7'
    assert table.is_met(giga + extra, row.flops)
    # the smallest backbone that prints UperNet's 57
    upernet = numbers(find_row('9', row.name, 'UperNet'))[1]
    assert round(mega - (upernet - 56.5)) == 46


def check_segmentor(row, giga, mega):
    extra = padding_giga(row)
    assert f'{extra:.1f} {giga + extra:.1f}' == '3.5 946.5'
    assert table.is_met(mega, row.params)


def check_base_padding(row, giga, mega):
    extra = padding_giga(row)
    assert round(extra) == 13 and giga + extra > float(row.flops) + 1


def check_params_alone(row, giga, mega):
    assert table.is_met(mega, row.params) and not table.is_met(giga, row.flops)


def check_flops_alone(row, giga, mega):
    assert table.is_met(giga, row.flops) and not table.is_met(mega, row.params)


def check_cut(row, giga, mega):
    assert f'{mega:.2f}' == '77.67' and int(mega) == int(row.params)


CHECKS = {
    Reason.ATTENTION: check_attention,
    Reason.NO_ATTENTION: check_attention,
    Reason.INTERPOLATION: check_interpolation,
    Reason.UNKNOWN: check_unknown,
    Reason.CUT: check_cut,
    Reason.SWAPPED: check_swapped,
    Reason.PADDED_DETECTOR: check_detector,
    Reason.PADDED_SEGMENTOR: check_segmentor,
    Reason.BASE: check_params_alone,
    Reason.PADDED_BASE: check_base_padding,
    Reason.INPUT: check_params_alone,
    Reason.DENSE: check_dense,
    Reason.VALUE: check_flops_alone,
    Reason.SPATIAL: check_spatial,
    Reason.ENCODING: check_encoding,
}


@pytest.mark.parametrize('row', REASONED, ids=lambda row: f'{row.table}-{row.name}-{row.task}')
def test_reasons_hold(row):
    CHECKS[row.reason](row, *numbers(row))


def test_every_table_and_reason_is_there():
    assert {row.table for row in ROWS} == {*map(str, range(2, 11)), '15'}
    assert {row.reason for row in REASONED} == set(Reason) == set(CHECKS)
