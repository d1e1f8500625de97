"""Tools that run in the test's own process."""

import runpy
import sys

import pytest
from detection import ROOT, tiny_config

CONFIG = str(ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py')


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run from a folder that is not the project's."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a tool in this process; status and stderr."""

    def run(tool, *args):
        path = str(ROOT / f'tools/{tool}.py')
        monkeypatch.setattr(sys, 'argv', [path, *map(str, args)])
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(path, run_name='__main__')
        return stopped.value.code, capsys.readouterr().err

    return run


@pytest.fixture
def config(shapes, tmp_path):
    """A config whose data is there and which needs no released weights."""
    cfg = tiny_config(CONFIG, shapes)
    # mmengine keeps a visualizer for each name and second
    cfg.experiment_name = tmp_path.name
    cfg.dump(tmp_path / 'tiny.py')
    return tmp_path / 'tiny.py'
