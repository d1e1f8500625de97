"""Runs start where torchvision is missing, broken or without its library."""

import subprocess
import sys

import pytest
from without import run_without

from sparx_mm.compat import torchvision_stub
from sparx_mm.compat.torchvision_stub import OPERATORS

# a stand-in for torchvision, its first lines, and its module that refers to operators
START = 'import torch\nimport sys\n__version__ = "1.2"\n'
LACKS_OPERATORS = START + 'from . import _meta_registrations'
REFERS = 'import torch\n' + '\n'.join(
    f'torch.library.register_fake("torchvision::{name}")(lambda *a: a[0])' for name in OPERATORS
)
# undoes what the set-up did to this environment
UNWATCHED = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if getattr(finder, '__name__', '') != 'Watcher']
sys.modules.pop('sparx_mm_torchvision_stub', None)
"""
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
        (folder / 'torchvision/_meta_registrations.py').write_text(REFERS)
        code = f'{UNWATCHED}sys.path.insert(0, {str(folder)!r})\n{code}'
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


@pytest.mark.tries('a torchvision whose library')
@pytest.mark.parametrize('library', [True, False])
def test_each_python_of_an_environment_imports_it(tmp_path, monkeypatch, library):
    """Without a word of ours, and as it is if its library loads."""
    site = tmp_path / 'more'
    site.mkdir()
    monkeypatch.setattr(torchvision_stub.sysconfig, 'get_path', lambda name: str(site))
    torchvision_stub.watch_in_environment()
    torchvision = LACKS_OPERATORS
    if library:
        schema = torchvision_stub.SCHEMA.format
        define = '; '.join(f'held.define("{schema(name)}")' for name in OPERATORS)
        loads = f'held = torch.library.Library("torchvision", "DEF"); {define}\n'
        torchvision = LACKS_OPERATORS.replace('from', f'{loads}from', 1)
    code = f"""
import sys, site
sys.path.insert(0, {str(site)!r})
site.addsitedir({str(site)!r})
print('torch' in sys.modules)
import torchvision
print(torchvision.__version__)
"""
    assert run(tmp_path, torchvision, code).split() == ['False', '1.2']


def test_other_peoples_packages_import():
    """In this environment, which the set-up made."""
    code = 'import timm, pytorch_grad_cam, sys; print("sparx_mm" in sys.modules)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout == 'False\n', done.stderr


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
