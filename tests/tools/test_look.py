"""tools/look.py: a picture and numbers, or one line."""

import json
import runpy
import sys

import pytest
from detection import ROOT

pytestmark = pytest.mark.stack
TOOL = str(ROOT / 'tools/look.py')


@pytest.fixture
def look(monkeypatch, capsys, shapes, tmp_path):
    """Run the tool on drawn images, to its status, output and errors."""

    def look(*args):
        images = [] if '--images' in args else ['--images', shapes / 'train']
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, args), *map(str, images)])
        monkeypatch.chdir(tmp_path)
        status = 0
        try:
            runpy.run_path(TOOL, run_name='__main__')
        except SystemExit as stopped:
            status = stopped.code
        return status, *capsys.readouterr()

    return look


def test_networks_side_by_side(look, tmp_path):
    small = ('--network', 'VMamba', 'arch.embed_dims=8,8,16,16', 'arch.depths=1,1,2,1')
    swin = ('--network', 'Swin-T', 'embed_dims=12', 'depths=1,1,1,1', 'num_heads=1,2,3,4')
    status, out, err = look('erf', *small, *swin, 'label=swin', '--num', '3', '--size', '64')
    assert status == 0, err
    assert out.splitlines()[-1] == 'erf.png, erf.json: 3 images'
    written = json.loads((tmp_path / 'erf.json').read_text())
    assert len(written['images']) == 3
    (ours, theirs) = written['networks'].items()
    assert ours[0].startswith('VMamba') and theirs[0] == 'swin'
    for _, network in (ours, theirs):
        assert network['weights'] == 'random weights'
        areas = [stage['area_by_part']['0.5'] for stage in network['numbers']]
        assert len(areas) == 4 and areas == sorted(areas)
    assert (tmp_path / 'erf.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize(
    'args,message',
    [
        (['erf'], 'required: --network'),
        (['field', '--network', 'VMamba'], "invalid choice: 'field'"),
        (['erf', '--network', 'VMambo'], "no backbone 'VMambo'"),
        (['erf', '--network', 'VMamba', 'arch'], "'arch' is not of the form KEY=VALUE"),
        (['erf', '--network', 'VMamba', '--images', 'none'], '--images none is no folder'),
        (['erf', '--network', 'VMamba', '--images', '.'], '--images . has no images'),
        (['erf', '--network', 'VMamba', '--num', '0'], '--num must be at least 1, got 0'),
        (['erf', '--network', 'VMamba', 'checkpoint=none.pth'], 'none.pth'),
        (['erf', '--network', 'VMamba', '--device', 'cuda:9'], 'take --device cpu'),
        (['erf', '--network', 'VMamba', '--out', 'a.jpg', '--num', '1'], 'must end in'),
    ],
)
def test_mistakes_end_in_one_line(look, tmp_path, args, message):
    status, out, err = look(*args)
    assert status in (1, 2) and not out
    line = err.splitlines()[-1]
    assert line.startswith('error: ') and message in line
    assert not list(tmp_path.iterdir())
