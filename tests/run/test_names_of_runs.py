"""Runs of one process keep apart, although mmengine knows what they have by name."""

import time
from types import SimpleNamespace

import detection
import pytest
import segmentation
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

from sparx_mm.run import build_runner

pytestmark = [pytest.mark.stack, pytest.mark.slow]

DETECTOR = detection.ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py'
SEGMENTOR = detection.ROOT / 'configs/mmseg/semantic_fpn_sparx_t.py'


def test_two_runs_draw_into_their_own_folders(shapes, tmp_path):
    runners = []
    for name in ('first', 'second'):
        cfg = detection.tiny_config(DETECTOR, shapes, str(tmp_path / name))
        cfg.experiment_name = name
        assert cfg.visualizer.name == 'visualizer'
        runners.append(build_runner(cfg))
    for name, runner in zip(('first', 'second'), runners):
        runner.visualizer.add_scalars(dict(loss=1.0), step=1)
        (log,) = (tmp_path / name).rglob('scalars.json')
        assert log.read_text().count('loss') == 1
    # programs find the first by its name, and hooks the one of their run
    assert Visualizer.get_instance('visualizer') is runners[0].visualizer
    assert runners[1].visualizer.instance_name.startswith('second')


def test_three_runs_of_two_libraries_in_one_second(shapes, ade, tmp_path, monkeypatch):
    """The third has the config of the first."""
    now = time.time()
    clock = SimpleNamespace(
        time=lambda: now, strftime=time.strftime, localtime=time.localtime, sleep=time.sleep
    )
    monkeypatch.setattr('mmengine.runner.runner.time', clock)
    runners = []
    for folder in ('a', 'b', 'c'):
        if folder == 'b':
            cfg = detection.tiny_config(DETECTOR, shapes, str(tmp_path / folder))
        else:
            cfg = segmentation.tiny_config(SEGMENTOR, ade, str(tmp_path / folder))
        runners.append(build_runner(cfg))
        assert DefaultScope.get_current_instance().scope_name == cfg.default_scope
    assert len({runner.timestamp for runner in runners}) == 1
    for part in ('message_hub', 'logger', 'visualizer'):
        assert len({id(getattr(runner, part)) for runner in runners}) == 3
