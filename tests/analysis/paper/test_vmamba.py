"""VMamba's counts to the digit: the authors' own, and of its detectors."""

import pytest
from paper_counts import counted, numbers

from sparx_mm import VMamba
from sparx_mm.analysis import count_complexity
from sparx_mm.analysis.paper import table
from sparx_mm.analysis.paper.vmamba import ROWS, Reason

pytestmark = pytest.mark.stack
# parameters with the classifier, and G at 224
CLASSIFIERS = {
    'tiny': (30249064, 4.906),
    'small': (50147752, 8.716),
    'base': (88557800, 15.359),
    'tiny-s2l5': (30705832, 4.858),
    'small-s1l20': (49012840, 8.612),
    'base-s1l20': (86614504, 15.221),
    'tiny-v0': (22893448, 5.627),
    'small-v0': (44417416, 11.232),
    'base-v0': (76254056, 18.020),
}
# G of convolutions and linear layers alone in the classifier; of the backbone
# with four output norms, parameters and G at 800x1280 and at 512x2048
DENSE = {
    'tiny': (4.813, 29481408, 100.15, 102.56),
    'small': (8.499, 49380096, 177.91, 182.18),
    'base': (15.070, 87534592, 313.50, 321.02),
    'tiny-s2l5': (4.716, 29938176, 99.17, 101.56),
    'small-s1l20': (8.470, 48245184, 175.80, 180.02),
    'base-s1l20': (15.031, 85591296, 310.68, 318.14),
}


def classifier_row(arch):
    (row,) = (row for row in ROWS if (row.task, row.arch) == ('ImageNet', arch))
    return row


@pytest.mark.parametrize('arch', VMamba.arch_zoo)
def test_classifiers(arch):
    params, giga = CLASSIFIERS[arch]
    total = counted(classifier_row(arch)).total()
    assert total.params == params
    # pooling, which dense models do without, counts 1 an element there
    channels = VMamba.arch_zoo[arch]['embed_dims'][-1]
    assert round((total.macs + channels * 7 * 7) / 1e9, 3) == giga


@pytest.mark.parametrize('arch', DENSE)
def test_dense_backbones(arch):
    plain, params, *dense = DENSE[arch]
    model = VMamba(arch)
    for shape, giga in zip(((800, 1280), (512, 2048)), dense):
        total = count_complexity(model, shape).total()
        assert total.params == params
        assert total.macs / 1e9 == pytest.approx(giga, abs=6e-3)
    # what a scan counts without its matrix products
    scans, positions = 0, 56**2
    for stage in model.stages:
        for layer in stage.layers:
            scans += 4 * positions * layer.mixer.in_channels * (9 + 1)
        positions //= 4
    macs = counted(classifier_row(arch)._replace(convention='plain')).total().macs
    assert round((macs - scans) / 1e9, 3) == plain


def test_the_reason_holds():
    """The detector of S has the heads of T's, and these are those of the other rows."""
    (row,) = (row for row in ROWS if row.reason)
    assert row.reason is Reason.SMALL_DETECTOR
    giga, mega = numbers(row)
    assert table.is_met(mega, row.params)
    backbone = counted(row).total('backbone').macs / 1e9
    assert f'{backbone:.1f} {giga - backbone:.1f}' == '177.9 171.0'
    for other in ROWS:
        # of the same channels
        if other.table == row.table and other != row and not other.arch.startswith('base'):
            rest = numbers(other)[0] - counted(other).total('backbone').macs / 1e9
            assert rest == pytest.approx(giga - backbone, abs=1e-9)


@pytest.mark.parametrize('row', [r for r in ROWS if r.table == 'ADE20K'], ids=lambda r: r.name)
def test_interpolation_is_what_segmentors_need(row):
    """Without it five of seven rows are not met."""
    total = counted(row._replace(convention='paper')).total()
    met = table.is_met(total.macs / 1e9, row.flops)
    assert met == (row.arch in ('small', 'base'))
