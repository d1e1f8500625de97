"""Missing packages, GPUs and screens end in one line."""

import sys

import mmcv
import pytest
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper

from sparx_mm.errors import UserError
from sparx_mm.run import preflight


def _config(**kwargs):
    return Config(dict(kwargs))


def test_packages(monkeypatch):
    preflight.check_packages(_config(default_scope='mmdet'))
    preflight.check_packages(_config())
    with pytest.raises(UserError, match='runs on mmnothing.*make setup'):
        preflight.check_packages(_config(default_scope='mmnothing'))
    # as Python answers find_spec for a module that is not there
    monkeypatch.delitem(sys.modules, 'mmcv._ext', raising=False)
    monkeypatch.setattr(mmcv, '__path__', [])
    with pytest.raises(UserError, match='mmcv._ext is not installed'):
        preflight.check_packages(_config(default_scope='mmdet'))


def test_display(monkeypatch):
    monkeypatch.setattr('sys.platform', 'linux')
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match='--show-dir'):
        preflight.check_display()
    monkeypatch.setenv('WAYLAND_DISPLAY', 'wayland-0')
    preflight.check_display()


def test_float16_needs_a_gpu(monkeypatch):
    amp, by_class = (
        _config(optim_wrapper=dict(type=kind)) for kind in ('AmpOptimWrapper', AmpOptimWrapper)
    )
    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cpu')
    for cfg in (amp, by_class):
        with pytest.raises(UserError, match='take bfloat16 with --amp-dtype bfloat16$'):
            preflight.check_training_device(cfg)
    for wrapper in (None, dict(type='OptimWrapper')):
        preflight.check_training_device(_config(optim_wrapper=wrapper))
    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cuda')
    preflight.check_training_device(amp)
