"""Each run of a process draws into its own folder, although the configs name their visualizer."""

import pytest
from detection import CONFIGS, tiny_config
from mmengine.visualization import Visualizer

from sparx_mm.run import build_runner

pytestmark = [pytest.mark.stack, pytest.mark.slow]


def test_two_runs_of_a_process(shapes, tmp_path):
    runners = []
    for name in ('first', 'second'):
        cfg = tiny_config(CONFIGS[0], shapes, str(tmp_path / name))
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
