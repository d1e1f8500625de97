"""CVMH-UNet's counts to the digit, as thop counts and whole, and the reason of its rows."""

import pytest
from detection import ROOT
from paper_counts import counted, numbers

from sparx_mm.analysis.paper import table
from sparx_mm.analysis.paper.cvmh_unet import ROWS, Reason

pytestmark = pytest.mark.stack
# parameters of convolutions, linear layers and norms, and all of them
PARAMETERS = {
    'VM-UNet': (22037862, 27427686),
    '+ CVSSBlock': (30444324, 35834148),
    '+ MFMSBlock': (22434996, 27824820),
    'CVMH-UNet': (30841458, 36231282),
    'with MS-CAM': (31238484, 36628308),
    'with a shared MLP': (30939324, 36329148),
}
# G with the scan and its projections
WHOLE = {'VM-UNet': 8.316, 'CVMH-UNet': 9.901}


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row.name.replace(' ', '_'))
def test_parameters(row):
    model, _ = table._build(row, str(ROOT / 'configs'))
    whole = sum(parameter.numel() for parameter in model.parameters())
    assert (counted(row).total().params, whole) == PARAMETERS[row.name]
    assert table.is_met(numbers(row)[1], row.params)


def test_the_reason_holds():
    """The printed figure is between that without norms and that with them."""
    rows = {row.name: row for row in ROWS}
    for name, giga in WHOLE.items():
        assert round(numbers(rows[name]._replace(convention='paper'))[0], 3) == giga
    row = rows['VM-UNet']
    assert row.reason is Reason.NORMS
    # it has layer norms alone, of which an element counts as 5 there and 4 here
    plain = numbers(row._replace(convention='plain'))[0]
    norms = (WHOLE['VM-UNet'] - plain) * 4 / 5
    giga = numbers(row)[0]
    assert f'{giga - norms:.2f} {giga:.2f}' == '4.08 4.12'
    for row in ROWS:
        # the others have more batch norms, of which versions differ too
        assert 0 <= numbers(row)[0] - float(row.flops) + 0.005 < 0.04
