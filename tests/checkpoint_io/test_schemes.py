"""`install` replaces mmengine's readers; importing the package does not."""

import pytest
import torch
from archs import PICO
from hostile import payloads
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import get_external_models, load_checkpoint
from torch import nn
from without import run_without

from sparx_mm import SparXMamba
from sparx_mm.checkpoint_io import CheckpointError, install, schemes

pytestmark = pytest.mark.stack
WEIGHTS = {'a.weight': torch.arange(6.0).view(2, 3), 'a.bias': torch.ones(2)}
PLACES = (
    'a.pth',
    '/a.pth',
    'http://a',
    'https://a',
    's3://a',
    'petrel://a',
    'cluster:s3://a',
    'torchvision://a',
    'modelzoo://a',
    'open-mmlab://a',
    'openmmlab://a',
    'mmcls://a',
    'pavi://a',
)


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """Install the readers for one test."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    install()


def test_no_reader_of_mmengine_is_left():
    readers = {loader.__module__ for loader in CheckpointLoader._schemes.values()}
    assert readers == {schemes.__name__}
    for place in PLACES:
        loader = CheckpointLoader._get_checkpoint_loader(place)
        assert loader.__module__ == schemes.__name__, place


@pytest.mark.tries('a checkpoint that runs code')
@pytest.mark.parametrize('payload', sorted(payloads(None)))
def test_mmengine_runs_no_hostile_file(tmp_path, payload):
    torch.save(dict(WEIGHTS, x=payloads(tmp_path / 'trace')[payload]), tmp_path / 'file.pth')
    with pytest.raises(CheckpointError, match='it would run code'):
        load_checkpoint(nn.Linear(3, 2), str(tmp_path / 'file.pth'))
    assert not (tmp_path / 'trace').exists()


def test_models_of_mmengines_lists(tmp_path, monkeypatch):
    path, asked = str(tmp_path / 'file.pth'), []
    torch.save({f'backbone.{name}': value for name, value in WEIGHTS.items()}, path)
    monkeypatch.setattr(schemes, 'fetch', lambda url: asked.append(url) or path)
    name = next(iter(get_external_models()))
    found = CheckpointLoader.load_checkpoint(f'open-mmlab://{name}')
    assert len(found['state_dict']) == 2
    # the file is a classifier's, and a backbone is wanted
    found = CheckpointLoader.load_checkpoint('mmcls://vgg11')
    assert found['state_dict'].keys() == WEIGHTS.keys()
    assert all(found['state_dict'][name].equal(value) for name, value in WEIGHTS.items())
    assert all(url.startswith('https://') for url in asked) and len(asked) == 2
    with pytest.raises(CheckpointError, match="open-mmlab has no model 'no'"):
        CheckpointLoader.load_checkpoint('open-mmlab://no')
    with pytest.raises(CheckpointError, match='download it'):
        CheckpointLoader.load_checkpoint('pavi://a')


@pytest.mark.parametrize('place', PLACES)
def test_a_place_has_one_reader(place):
    """With mmengine's loader and without it."""
    assert schemes.find_loader(place) is CheckpointLoader._get_checkpoint_loader(place)


def test_readers_of_others_are_kept(monkeypatch):
    CheckpointLoader.register_scheme('mine://', lambda place, map_location: (place, map_location))
    assert schemes.load_checkpoint('mine://a', 'cpu') == ('mine://a', 'cpu')


def test_only_the_engine_installs(tmp_path):
    code = """
from mmengine.runner import CheckpointLoader
before = dict(CheckpointLoader._schemes)
import sparx_mm.checkpoint_io
print(CheckpointLoader._schemes == before)
import sparx_mm.engine
print({loader.__module__ for loader in CheckpointLoader._schemes.values()})
"""
    done = run_without([], code, tmp_path)
    assert done.stdout.splitlines() == ['True', str({schemes.__name__})], done.stderr


def test_reading_and_converting_need_no_runner(tmp_path):
    """Because mmengine.runner imports OpenCV."""
    torch.save(SparXMamba(PICO).state_dict(), tmp_path / 'file.pth')
    code = """
import sys
from sparx_mm.checkpoint_io import convert_checkpoint, read_checkpoint
print(convert_checkpoint('file.pth', 'other.pth', to='released'))
print(len(read_checkpoint('file.pth')['state_dict']))
print(len(read_checkpoint('other.pth')['state_dict']))
print('mmengine.runner' in sys.modules)
"""
    done = run_without(['cv2'], code, tmp_path)
    assert not done.returncode, done.stderr
    written, *counts, imported = done.stdout.splitlines()
    assert written.startswith('other.pth: released names')
    assert counts[0] == counts[1] and imported == 'False'
