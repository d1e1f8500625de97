"""Fixtures that tests of several folders share."""

import gc
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import torch

# set before triton is imported, which torch's FLOP counter does: without a GPU the
# kernels run in the interpreter
if not torch.cuda.is_available():
    os.environ.setdefault('TRITON_INTERPRET', '1')

import pytest
import yapf.yapflib.yapf_api
from aerial import SETS, make_set
from classification import make_imagenet
from mmengine.dataset import base_dataset
from mmengine.utils import ManagerMixin
from rotated import make_dota
from segmentation import make_ade

from sparx_mm.demo import make_shapes
from sparx_mm.kernels import dispatch

if dispatch.is_interpreted():
    import quick_interpreter  # noqa: F401

# where Python finds what a tool imports beside it, if a test runs the tool in its own process
sys.path.append(str(Path(__file__).parents[1] / 'tools'))
# mmengine lays out the text of a config several times a run, which takes more time than
# all else in a small one
yapf.yapflib.yapf_api.FormatCode = lambda text, **style: (text, True)

# a data set collects garbage when it has read its few images
base_dataset.gc = SimpleNamespace(collect=lambda: None)

# folders and files whose tests run whole programs or trainings, full-size networks or
# compilers
SLOW = {
    Path(__file__).parent / name
    for name in (
        'analysis/look',
        'analysis/paper',
        'backbones/test_bfloat16.py',
        'backbones/test_parity.py',
        'benchmarks',
        'compat',
        'configs',
        'end_to_end',
        'engine/hooks/test_checkpoint.py',
        'engine/hooks/test_coverage.py',
        'engine/hooks/test_finite.py',
        'engine/hooks/test_rehearsal.py',
        'engine/hooks/test_resume.py',
        'engine/saving',
        'engine/test_counters.py',
        'export',
        'inference/test_command.py',
        'inference/test_predictor.py',
        'kernels/test_triton.py',
        'kernels/test_triton_compile.py',
        'kernels/test_triton_depthwise.py',
        'kernels/test_triton_norms.py',
        'reports/test_browse.py',
        'reports/test_report.py',
        'run/test_config_mistakes.py',
        'run/test_stock_configs.py',
        'run/test_torchrun.py',
        'test_decode_heads.py',
        'test_distillation.py',
        'test_info.py',
        'test_install.py',
        'test_site.py',
        'tools',
    )
}


def pytest_collection_modifyitems(items):
    """Mark all tests of the slow folders and files."""
    for item in items:
        if SLOW & {item.path, *item.path.parents}:
            item.add_marker('slow')


def pytest_collection_finish():
    """Spend less on garbage collections, which take a sixth of the time of the tests."""
    # all that is imported stays
    gc.freeze()
    # whole collections a fifth as often
    gc.set_threshold(700, 10, 50)


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    """Draw a set of 4 training and 3 validation images of 64 px."""
    root = tmp_path_factory.mktemp('data') / 'shapes'
    make_shapes(str(root), num_train=4, num_val=3, size=64)
    return root


@pytest.fixture(scope='session')
def ade(tmp_path_factory):
    """Draw a set in ADE20K's layout: 4 training and 3 validation images."""
    root = tmp_path_factory.mktemp('data') / 'ade'
    make_ade(root)
    return root


@pytest.fixture(scope='session')
def aerial(tmp_path_factory):
    """Draw aerial sets of a few patches of 64 px, in folders by their names."""
    root = tmp_path_factory.mktemp('data')
    for name in SETS:
        make_set(root / name, name)
    return root


@pytest.fixture(scope='session')
def imagenet(tmp_path_factory):
    """Draw a set in ImageNet's layout: six classes of 2 training and 1 validation images."""
    if find_spec('mmpretrain') is None:
        pytest.skip('mmpretrain, which reads it, is not installed')
    root = tmp_path_factory.mktemp('data') / 'imagenet'
    make_imagenet(root)
    return root


@pytest.fixture(scope='session')
def dota(tmp_path_factory):
    """Draw a set of 4 patches of 64 px in DOTA's layout."""
    root = tmp_path_factory.mktemp('data') / 'dota'
    make_dota(root)
    return root


@pytest.fixture(autouse=True)
def own_loggers():
    """Make new loggers and visualizers for each test.

    The old ones log to captured output, or write into the folder of a test that began in
    the same second with a config of the same name.
    """
    classes = ManagerMixin.__subclasses__()
    for cls in classes:
        classes += cls.__subclasses__()
        if cls.__name__.endswith(('Logger', 'Visualizer')):
            cls._instance_dict.clear()


@pytest.fixture(autouse=True)
def own_threads():
    """Give each test the number of threads that the run began with."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
