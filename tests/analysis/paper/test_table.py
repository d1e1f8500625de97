"""Rounding as for print, and the table of rows."""

from enum import Enum

import pytest
from detection import ROOT

from sparx_mm.analysis import PaperRow, make_paper_table
from sparx_mm.analysis.paper.table import is_met, make_rows

pytestmark = pytest.mark.stack


class Reason(Enum):
    LONG = 'Here is a text that is long enough to be broken, of ' + 'words, ' * 10 + 'and an end.'
    SHORT = 'Short.'


def test_rounding():
    assert is_met(5.25, '5.2') and is_met(5.15, '5.2')
    assert not is_met(5.2501, '5.2')
    assert is_met(278.5, '279') and not is_met(278.4, '279')


def test_rows_of_several_tasks():
    models = [('A', 'tiny', ('1', '2'), ('3.0', '4', Reason.SHORT))]
    assert list(make_rows('7', 'Net', ['ImageNet', 'UperNet'], models, 'plain')) == [
        PaperRow('7', 'A', 'Net', 'tiny', 'ImageNet', '1', '2', 'paper'),
        PaperRow('7', 'A', 'Net', 'tiny', 'UperNet', '3.0', '4', 'plain', Reason.SHORT),
    ]
    with pytest.raises(ValueError, match='shorter'):
        list(make_rows('7', 'Net', ['ImageNet', 'UperNet'], [('A', 'tiny', ('1', '2'))]))


def test_table():
    met = PaperRow('2', 'T', 'SparXMamba', 'tiny', 'ImageNet', '5.2', '27.1')
    wrong = met._replace(table='COCO', name='U', flops='6', reason=Reason.LONG)
    other = wrong._replace(flops='7', reason=Reason.SHORT)
    lines = list(make_paper_table(str(ROOT / 'configs'), [met, wrong, other, wrong]))
    assert lines[1].split() == ['2', 'T', 'ImageNet', '5.25', '5.2', '27.05', '27.1']
    assert lines[2].split() == ['COCO', 'U', 'ImageNet', '5.25', '6', '27.05', '27.1', '[1]']
    assert [line.split()[-1] for line in lines[3:5]] == ['[2]', '[1]']
    notes = ' '.join(line.strip() for line in lines[5:])
    assert notes == f'[1] {Reason.LONG.value} [2] {Reason.SHORT.value}'
    assert all(len(line) <= 82 for line in lines)
