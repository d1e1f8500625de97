"""tools/get_flops.py: a table, or one line."""

import runpy
import sys

import pytest
from detection import ROOT

pytestmark = pytest.mark.stack
TOOL = str(ROOT / 'tools/get_flops.py')
UPERNET = ROOT / 'configs/mmseg/upernet_sparx_t.py'


@pytest.fixture
def table(monkeypatch, capsys):
    """Run the tool; the lines that it prints, split."""

    def table(*args):
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, args)])
        runpy.run_path(TOOL, run_name='__main__')
        return [line.split() for line in capsys.readouterr().out.splitlines()]

    return table


def test_a_segmentor(table):
    lines = table(UPERNET)
    assert ['backbone', '109.698', '11.5%', '26.540'] in lines
    assert ['decode_head', '844.286', '88.5%', '29.761'] in lines
    assert ['total', '953.984', '100.0%', '57.077'] in lines
    assert ['One', 'image', 'of', '512x2048.'] in lines


def test_a_detector(table):
    lines = table(ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py')
    assert ['mask_head', '52.986', '19.1%', '2.643'] in lines
    assert ['roi_head.mask_roi_extractor', 'reads', '100', 'boxes.'] in lines
    assert ['One', 'image', 'of', '800x1280.'] in lines


def test_a_backbone(table):
    options = ['--cfg-options', 'arch=small', '--convention', 'plain']
    lines = table('SparXMamba', '--shape', '384', *options)
    assert ['total', '27.213', '100.0%', '46.901'] in lines
    assert ['One', 'image', 'of', '384x384.'] in lines
    lines = table('SparXMamba', '--shape', '64', '96', *options)
    assert ['One', 'image', 'of', '64x96.'] in lines


def test_sizes_of_the_papers_table_15(table):
    """Without the classifier, which counts 0.0005 G at every size."""
    sizes = ('224', '384', '1024', '384x768')
    lines = table('SparXMamba', '--sweep', *sizes, '--cfg-options', 'out_indices=[3]')
    counted = {line[0]: float(line[1]) for line in lines[1:5]}
    printed = {'224x224': 5.2, '384x384': 15.4, '1024x1024': 109.6}
    assert {size: round(counted[size], 1) for size in printed} == printed
    assert counted['384x768'] == pytest.approx(2 * counted['384x384'], rel=1e-3)
    # what maps of all stages need besides is their norms
    assert {line[3] for line in lines[1:5]} == {'26.539'}
    assert lines[6][0] == 'Convention'


def test_tables_of_a_paper(table):
    lines = table('--paper', 'sparx', '5', '2')
    names = [line[1] for line in lines[1:] if line[0] in '25']
    # in the order of the paper
    assert names == [
        'SparX-Mamba-T',
        'SparX-Mamba-S',
        'SparX-Mamba-B',
        'DGC-Mamba-T',
        'DSN-Mamba-T',
        'SparX-Mamba-T',
    ]
    assert ['2', *names[:1], 'ImageNet', '5.25', '5.2', '27.05', '27'] in lines
    lines = table('--paper', 'vmamba', 'ImageNet')
    assert len(lines) == 10
    assert ['ImageNet', 'VMamba-T[s1l8]', 'ImageNet', '4.91', '4.9', '30.25', '30'] in lines


@pytest.mark.parametrize(
    'args,message',
    [
        ([], 'give a config, the name of a backbone, or --paper'),
        (['SparXMamba', '--paper'], 'give a config, the name of a backbone, or'),
        (
            ['--paper', '5'],
            "one of ['cvmh_unet', 'groupmamba', 'plainmamba', 'sparx', 'vmamba', 'vssd'] before its tables, got 5",
        ),
        (['--paper', 'sparx', '5', '16'], "'15'], got ['5', '16']"),
        (['--paper', 'vmamba', '2'], "['ImageNet', 'COCO', 'ADE20K'], got ['2']"),
        (['--paper', 'sparx', '--shape', '64'], 'leave --shape, --sweep, --convention'),
        (['--paper', '--convention', 'plain'], 'leave --shape, --sweep'),
        (['none.py'], 'no config file'),
        (
            ['SparXMambo'],
            "give one of ['GroupMamba', 'PlainMamba', 'PlainMambaAdapter', 'SparXMamba', 'SparXSwin', "
            "'VMUNetEncoder', 'VMamba', 'VSSD', 'Vim'], another",
        ),
        (['SparXMamba', '--shape', '0'], 'at least 1, got 0 0'),
        (['SparXMamba', '--shape', '1', '2', '3'], 'one or two numbers, got 3'),
        (['SparXMamba', '--shape', 'x'], 'invalid int'),
        (['SparXMamba', '--sweep', '224', '0x3'], "'0x3' is no size; write 224, or 800x1280"),
        (['SparXMamba', '--sweep', '224', '--shape', '3'], 'leave --shape out'),
        (['SparXMamba', '--convention', 'x'], "invalid choice: 'x'"),
        (['SparXMamba', '--cfg-options', 'arch=huge'], "arch 'huge'"),
        (['SparXMamba', '--cfg-options', 'arch'], 'not of the form KEY=VALUE'),
        ([UPERNET, '--cfg-options', 'model.neck=1.2'], 'error: '),
    ],
)
def test_mistakes_end_in_one_line(run, args, message):
    status, error = run('get_flops', *args)
    assert status in (1, 2)
    line = [line for line in error.splitlines() if line][-1]
    assert line.startswith('error: ') and message in line
    assert 'Traceback' not in error
