"""The paper's tables are what we count, or a row says why not."""

from functools import cache
from math import ceil

import pytest
from detection import ROOT

from sparx_mm import SparXMamba, SparXSwin
from sparx_mm.analysis import PAPER_ROWS, count_complexity, count_row, load_model, make_paper_table
from sparx_mm.analysis.paper import sparx as paper

pytestmark = pytest.mark.stack
CONFIGS = ROOT / 'configs'


@cache
def count_once(model):
    return count_row(model, str(CONFIGS))


def counted(row):
    # the same model stands in several tables
    return count_once(row._replace(table=0, name='', flops='', params='', reason=''))


def numbers(row):
    total = counted(row).total()
    return total.macs / 1e9, total.params / 1e6


def other_convention(row):
    """The row with the aggregators' attention counted, or no longer."""
    names = {'paper', 'paper-attention'} - {row.convention}
    return row._replace(convention=names.pop())


def label(row):
    return f'{row.table}-{row.name}-{row.task}'.replace(' ', '_')


@pytest.mark.parametrize('row', PAPER_ROWS, ids=label)
def test_row(row):
    giga, mega = numbers(row)
    met = [paper.is_met(giga, row.flops), paper.is_met(mega, row.params)]
    # a row has a reason if and only if it needs one
    assert paper.is_row_met(row, counted(row)) == all(met) == (not row.reason)
    # and then the numbers are near
    assert giga == pytest.approx(float(row.flops), rel=0.035)
    assert mega == pytest.approx(float(row.params), rel=0.025)


REASONED = [row for row in PAPER_ROWS if row.reason]


def find_row(table, name, task):
    (row,) = (r for r in PAPER_ROWS if r[:2] + (r.task,) == (table, name, task))
    return row


def padding_giga(row):
    """What queries, keys, values and outputs beyond the map would cost."""
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
    met = paper.is_row_met(row, counted(other_convention(row)))
    assert met == (row.reason != paper._UNKNOWN)


def check_swapped(row, giga, mega):
    (name,) = {'w/o Skip', 'w/o SR'} - {row.name}
    twin = find_row(row.table, name, row.task)
    assert paper.is_row_met(twin, counted(row))


def check_dense(row, giga, mega):
    arch = dict(SparXMamba.arch_zoo[row.arch], starts=(None, 1, 0, 0))
    model = paper._Classifier(dict(type='SparXMamba', arch=arch))
    total = count_complexity(model, (224, 224)).total()
    assert f'{total.params / 1e6:.1f} {total.macs / 1e9:.1f}' == '30.5 5.8'


def check_spatial(row, giga, mega):
    assert paper.is_met(mega, row.params)
    total = counted(other_convention(row)).total()
    assert f'{total.macs / 1e9:.2f}' == '5.56'


def check_encoding(row, giga, mega):
    whole = numbers(find_row(7, 'Baseline', row.task))[1]
    assert f'{whole:.2f} {whole - mega:.2f}' == '30.83 0.04'


def check_detector(row, giga, mega):
    extra = padding_giga(row)
    assert f'{extra:.1f} {giga + extra:.1f}' == '2.9 269.7'
    assert paper.is_met(giga + extra, row.flops)
    # the smallest backbone that prints UperNet's 57
    upernet = numbers(find_row(9, row.name, 'UperNet'))[1]
    assert round(mega - (upernet - 56.5)) == 46


def check_segmentor(row, giga, mega):
    extra = padding_giga(row)
    assert f'{extra:.1f} {giga + extra:.1f}' == '3.5 946.5'
    assert paper.is_met(mega, row.params)


def check_base_padding(row, giga, mega):
    extra = padding_giga(row)
    assert round(extra) == 13 and giga + extra > float(row.flops) + 1


def check_params_alone(row, giga, mega):
    assert paper.is_met(mega, row.params) and not paper.is_met(giga, row.flops)


def check_flops_alone(row, giga, mega):
    assert paper.is_met(giga, row.flops) and not paper.is_met(mega, row.params)


def check_cut(row, giga, mega):
    assert f'{mega:.2f}' == '77.67' and int(mega) == int(row.params)


CHECKS = {
    paper._WITH: check_attention,
    paper._WITHOUT: check_attention,
    paper._UNKNOWN: check_attention,
    paper._CUT: check_cut,
    paper._SWAPPED: check_swapped,
    paper._DETECTOR: check_detector,
    paper._SEGMENTOR: check_segmentor,
    paper._BASE: check_params_alone,
    paper._BASE_PADDING: check_base_padding,
    paper._INPUT: check_params_alone,
    paper._DENSE: check_dense,
    paper._VALUE: check_flops_alone,
    paper._SPATIAL: check_spatial,
    paper._ENCODING: check_encoding,
}


@pytest.mark.parametrize('row', REASONED, ids=label)
def test_reasons_hold(row):
    CHECKS[row.reason](row, *numbers(row))


@pytest.mark.parametrize(
    'table,name',
    [
        (3, 'mmdet/mask_rcnn_sparx_{}_1x'),
        (4, 'mmseg/upernet_sparx_{}'),
        (4, 'mmseg/semantic_fpn_sparx_{}'),
        (9, 'mmdet/mask_rcnn_sparx_swin_{}_1x'),
        (9, 'mmseg/upernet_sparx_swin_{}'),
    ],
)
def test_configs_are_the_models_of_the_rows(table, name):
    """A row's model is made from the config of T; others have their own."""
    task = {'mask': 'Mask R-CNN', 'uper': 'UperNet', 'sema': 'Semantic FPN'}
    rows = [
        row for row in PAPER_ROWS if (row.table, row.task) == (table, task[name.split('/')[1][:4]])
    ]
    assert len(rows) == (2 if table == 9 else 3)
    # that of T is the row's
    for row in rows[1:]:
        config = CONFIGS / f'{name.format(row.arch[0])}.py'
        model, shape = load_model(str(config))
        assert count_complexity(model, shape, row.convention) == counted(row)


def test_every_table_and_named_arch_is_there():
    assert {row.table for row in PAPER_ROWS} == {*range(2, 11), 15}
    for backbone in (SparXMamba, SparXSwin):
        names = {row.arch for row in PAPER_ROWS if row.backbone == backbone.__name__}
        assert names == set(backbone.arch_zoo)


def test_rounding():
    assert paper.is_met(5.25, '5.2') and paper.is_met(5.15, '5.2')
    assert not paper.is_met(5.2501, '5.2')
    assert paper.is_met(278.5, '279') and not paper.is_met(278.4, '279')


def test_table():
    rows = [row for row in PAPER_ROWS if row.table == 5]
    lines = list(make_paper_table(str(CONFIGS), rows))
    assert lines[1].split() == ['5', 'DGC-Mamba-T', 'ImageNet', '5.52', '5.5', '28.84', '28.8']
    assert lines[2].split()[-1] == '[1]' and lines[3].split()[-1] == '27.1'
    note = ' '.join(line.strip() for line in lines[4:])
    assert note == f'[1] {paper._DENSE}'
    assert all(len(line) <= 79 for line in lines)
