"""PlainMamba's counts to the digit, and the reasons of its rows."""

import pytest
from detection import ROOT
from paper_counts import counted, numbers

from sparx_mm import PlainMamba
from sparx_mm.analysis.paper import table
from sparx_mm.analysis.paper.plainmamba import ROWS, Reason

pytestmark = pytest.mark.stack
# parameters of the backbone with the norm after its last layer; G at 224, with the
# multiply-adds of the scans, 9LDN + LD in each direction, and without norms
BACKBONES = {'l1': (7358656, 3.01), 'l2': (25760832, 8.07), 'l3': (50507456, 14.43)}


CLASSIFIERS = [row for row in ROWS if row.task == 'ImageNet']
# parameters of whole models
DENSE = {
    'Mask R-CNN': (31.212, 53.202, 79.782),
    'RetinaNet': (19.200, 40.686, 67.031),
    'UperNet': (35.456, 55.874, 81.293),
}


@pytest.mark.parametrize('row', CLASSIFIERS, ids=lambda row: row.arch)
def test_counts_and_reasons(row):
    params, giga = BACKBONES[row.arch]
    assert round(numbers(row)[0], 2) == giga and table.is_met(giga, row.flops)
    channels = PlainMamba.arch_zoo[row.arch]['embed_dims']
    assert counted(row).total().params == params + 1000 * (channels + 1)
    mega = params / 1e6
    assert mega >= float(row.params) and mega - float(row.params) < 0.1
    assert table.is_met(mega, row.params) == (row.reason is Reason.NO_HEAD)


def test_dense_models_are_printed_cut():
    found = {}
    for row in ROWS:
        if row.task in DENSE:
            model, _ = table._build(row, str(ROOT / 'configs'))
            mega = sum(parameter.numel() for parameter in model.parameters()) / 1e6
            found.setdefault(row.task, []).append(round(mega, 3))
            assert int(mega) == int(row.params)
            assert table.is_met(mega, row.params) == (row.reason is not Reason.CUT)
    assert {task: tuple(values) for task, values in found.items()} == DENSE
