"""tools/draw_connections.py: a picture, or one line."""

import runpy
import sys
from pathlib import Path

import pytest
from detection import ROOT

pytestmark = pytest.mark.stack
TOOL = str(ROOT / 'tools/draw_connections.py')
CONFIG = str(ROOT / 'configs/mmseg/semantic_fpn_sparx_t.py')


@pytest.fixture
def draw(monkeypatch, capsys):
    """Run the tool; what it prints."""

    def draw(*args):
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, args)])
        runpy.run_path(TOOL, run_name='__main__')
        return capsys.readouterr().out

    return draw


def test_a_backbone(draw):
    said = draw('SparXMamba', '--cfg-options', 'arch=small')
    assert said == 'connections.png: 23 layers, 9 ganglions, 28 arcs\n'
    assert Path('connections.png').read_bytes().startswith(b'\x89PNG')


def test_the_backbone_of_a_config(draw):
    said = draw(CONFIG, '--out', 'pictures/t.svg')
    assert said == 'pictures/t.svg: 13 layers, 7 ganglions, 14 arcs\n'
    assert 'id="stage2-layer0-to-layer6"' in Path('pictures/t.svg').read_text()


@pytest.mark.parametrize(
    'args,message',
    [
        ([], 'required: config'),
        (['none.py'], 'no config file'),
        (['SparXMambo'], "no backbone 'SparXMambo': give one of ['GroupMamba'"),
        (['SparXMamba', '--cfg-options', 'arch=huge'], "arch 'huge'"),
        (['SparXMamba', '--cfg-options', 'arch'], 'not of the form KEY=VALUE'),
        (['SparXMamba', '--out', 'a.nothing'], 'a.nothing cannot be written'),
        (['SparXMamba', '--out', '/dev/null/a.png'], 'give another place'),
        (['other.py'], 'ResNet has no backbone of sparx_mm'),
    ],
)
def test_mistakes_end_in_one_line(run, args, message):
    Path('other.py').write_text(
        "custom_imports = dict(imports=['mmseg.models'])\n"
        "model = dict(type='mmseg.ResNet', depth=18)\n"
    )
    status, error = run('draw_connections', *args)
    assert status in (1, 2)
    line = [line for line in error.splitlines() if line][-1]
    assert line.startswith('error: ') and message in line
    assert 'Traceback' not in error
