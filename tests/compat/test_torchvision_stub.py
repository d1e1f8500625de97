"""Runs start where torchvision is missing, broken or without its library."""

import pytest
from without import run_without

from sparx_mm.compat.torchvision_stub import OPERATORS

# a stand-in for torchvision, and its first lines
START = 'import torch\nimport sys\n__version__ = "1.2"\n'
LACKS_OPERATORS = START + '\n'.join(
    f'torch.library.register_fake("torchvision::{name}")(lambda *a: a[0])' for name in OPERATORS
)
BROKEN = START + 'raise RuntimeError("built for another CUDA")'
# what every Runner does
COLLECT = """
from sparx_mm.compat import torchvision_stub
torchvision_stub.install()
from mmengine.utils.dl_utils import collect_env
print(collect_env().get('TorchVision'), torchvision_stub.install())
"""


def run(folder, torchvision, code, status=0):
    """Run code with a torchvision of some lines, or with none."""
    if torchvision is not None:
        (folder / 'torchvision').mkdir()
        (folder / 'torchvision/__init__.py').write_text(torchvision)
        code = f'import sys; sys.path.insert(0, {str(folder)!r})\n{code}'
    done = run_without(['torchvision'], code, folder)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@pytest.mark.stack
@pytest.mark.parametrize(
    'torchvision,expected',
    [
        (None, 'None None'),
        (START, '1.2 None'),
        (LACKS_OPERATORS, '1.2 None'),
        (BROKEN, 'None RuntimeError: built for another CUDA'),
        # an ImportError that names torchvision, although it is installed
        ('from torchvision import _C', "None ImportError: cannot import name '_C'"),
    ],
)
def test_a_runner_starts(tmp_path, torchvision, expected):
    assert run(tmp_path, torchvision, COLLECT).startswith(expected)


def test_the_stand_in_lacks_what_the_real_one_does(tmp_path):
    log = run(tmp_path, LACKS_OPERATORS, 'import torchvision', status=1)
    assert 'operator torchvision::nms does not exist' in log


@pytest.mark.stack
def test_only_the_engine_installs(tmp_path):
    code = """
import sys
from sparx_mm.compat import torchvision_stub
print('torchvision' in sys.modules)
import sparx_mm.engine
import torchvision
print(torchvision.__version__)
"""
    assert run(tmp_path, LACKS_OPERATORS, code).startswith('False\n1.2\n')


def test_a_config_of_mmpretrain_says_what_is_missing(tmp_path):
    code = """
from mmengine.config import Config
from sparx_mm.run.preflight import check_packages
check_packages(Config(dict(default_scope='mmpretrain')))
"""
    log = run(tmp_path, BROKEN, code, status=1)
    assert 'torchvision cannot be imported: RuntimeError: built for' in log
    (tmp_path / 'site').rename(tmp_path / 'before')
    log = run(tmp_path, None, code, status=1)
    assert 'torchvision is not installed: run `make setup`' in log
    # not the extra, which would bring another torch
    assert 'pip install onedl-mmpretrain and the torchvision of your' in log


def test_the_installed_one(tmp_path):
    """On torch for the CPU its library does not load, on CUDA it does."""
    done = run_without(
        [],
        """
from sparx_mm.compat import torchvision_stub
torchvision_stub.install()
import torch
import torchvision.ops
from torchvision.extension import _has_ops
print(_has_ops())
box = torch.tensor([[0., 0., 1., 1.]])
print(torchvision.ops.nms(box, torch.ones(1), 0.5))
""",
        tmp_path,
    )
    if done.returncode:
        assert done.stdout == 'False\n'
        assert "Couldn't load custom C++ ops" in done.stderr
    else:
        assert done.stdout == 'True\ntensor([0])\n'
