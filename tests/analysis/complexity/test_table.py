"""Sums of parts, and the table of them."""

import pytest

from sparx_mm.analysis import Complexity, make_complexity_table
from sparx_mm.analysis.complexity.table import Part

pytestmark = pytest.mark.stack
G, M = 10**9, 10**6
COUNTED = Complexity(
    parts={
        ('backbone', 'stage 0'): Part(G // 2, M // 4, True),
        ('backbone', 'stage 0', 'mixer'): Part(2 * G, M, True),
        ('backbone', 'norms'): Part(0, M // 8, True),
        ('head',): Part(3 * G // 2, 2 * M, True),
        ('auxiliary_head',): Part(0, 3 * M, False),
    },
    shape=(512, 64),
    convention='plain',
    rules='this counts, and ' + 'that, ' * 12 + 'does not.',
    boxes={'head.extractor': 7},
)


def test_table():
    assert (
        make_complexity_table(COUNTED)
        == """\
part                      G multiply-adds   share  M parameters
backbone                            2.500   62.5%         1.375
  stage 0                           2.500   62.5%         1.250
    mixer                           2.000   50.0%         1.000
    rest                            0.500   12.5%         0.250
  norms                             0.000    0.0%         0.125
head                                1.500   37.5%         2.000
auxiliary_head                          -       -         3.000
total                               4.000  100.0%         6.375

One image of 512x64.
head.extractor reads 7 boxes.
-: did not run: used in training only, or only read.
Convention 'plain': this counts, and that, that, that, that, that, that, that,
that, that, that, that, that, does not."""
    )


def test_sums():
    assert COUNTED.total() == (4 * G, 6375000, True)
    assert COUNTED.total('backbone') == (5 * G // 2, 1375000, True)
    assert COUNTED.total('backbone', 'norms') == (0, M // 8, True)
    assert COUNTED.total('auxiliary_head') == (0, 3 * M, False)


def test_nothing_to_count():
    table = make_complexity_table(COUNTED._replace(parts={}))
    assert table.splitlines()[1].split() == ['total', '-', '-', '0.000']
