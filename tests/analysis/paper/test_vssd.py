"""VSSD's counts to the digit, and the reasons of its rows."""

from math import ceil

import pytest
import torch
from paper_counts import counted, numbers

from sparx_mm import VSSD
from sparx_mm.analysis.paper import table
from sparx_mm.analysis.paper.vssd import ROWS, Reason
from sparx_mm.mixers import NonCausalSSD

pytestmark = pytest.mark.stack
# parameters with the classifier; G at 224 by the authors' rule and of all multiply-adds
CLASSIFIERS = {
    'micro': (13512964, 2.306, 2.387),
    'tiny': (24270724, 4.475, 4.664),
    'small': (40075650, 7.366, 7.709),
    'base': (88823151, 16.066, 16.649),
    'tiny-iccv': (28192936, None, 4.994),
    'small-iccv': (50417512, None, 8.082),
}
SHAPES = {'ImageNet': (224, 224), 'Mask R-CNN': (800, 1280), 'UperNet': (512, 2048)}


def other_heads(row):
    """G of the products that the authors' rule leaves out."""
    with torch.device('meta'):
        stages = VSSD(row.arch).stages
    macs, sides = 0, [ceil(side / 4) for side in SHAPES[row.task]]
    for stage in stages:
        for layer in stage.layers:
            mixer = layer.mixer
            if isinstance(mixer, NonCausalSSD):
                whole = 2 * sides[0] * sides[1] * mixer.d_state * mixer.norm.weight.numel()
                macs += whole * (mixer.num_heads - 1) / mixer.num_heads
        sides = [ceil(side / 2) for side in sides]
    return macs / 1e9


@pytest.mark.parametrize('arch', VSSD.arch_zoo)
def test_classifiers(arch):
    params, authors, plain = CLASSIFIERS[arch]
    row = next(row for row in ROWS if (row.task, row.arch) == ('ImageNet', arch))
    assert counted(row).total().params == params
    assert round(counted(row._replace(convention='plain')).total().macs / 1e9, 3) == plain
    if authors:
        assert round(numbers(row)[0] - other_heads(row), 3) == authors


@pytest.mark.parametrize(
    'row', [row for row in ROWS if row.reason], ids=lambda row: f'{row.table}-{row.name}'
)
def test_reasons_hold(row):
    giga, mega = numbers(row)
    assert not table.is_met(giga, row.flops)
    assert table.is_met(giga - other_heads(row), row.flops)
    if row.reason is Reason.ONE_HEAD:
        assert table.is_met(mega, row.params)
    elif row.reason is Reason.ONE_HEAD_CUT:
        assert int(mega) == int(row.params)
    else:
        auxiliary = counted(row).total('auxiliary_head').params / 1e6
        assert auxiliary > 0.5 and table.is_met(mega - auxiliary, row.params)


def test_every_reason_is_there():
    assert {row.reason for row in ROWS if row.reason} == set(Reason)


def test_the_segmentor_of_iccv():
    """The authors' config says 81.147 M, which is without the auxiliary head."""
    row = next(row for row in ROWS if row.task == 'UperNet')._replace(arch='small-iccv')
    mega = numbers(row)[1] - counted(row).total('auxiliary_head').params / 1e6
    assert round(mega, 3) == 81.147
