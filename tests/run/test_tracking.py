"""Curves of a run, read as their trackers read them."""

import json
import struct

import pytest
from detection import CONFIG
from mmengine.config import Config
from small_run import Head, make_runner

from sparx_mm.errors import UserError
from sparx_mm.run import load_config, runner
from sparx_mm.run.tracking import add_trackers


@pytest.mark.tries('the package of a tracker')
def test_a_missing_package_is_one_line_with_the_extra(monkeypatch):
    monkeypatch.setattr('sparx_mm.run.tracking.find_spec', lambda name: None)
    message = r"^--track wandb: the package wandb is not installed: .*'\.\[track\]'"
    with pytest.raises(UserError, match=message) as error:
        runner.train(str(CONFIG), track=['wandb'])
    assert '\n' not in str(error.value)


def test_a_config_keeps_its_own_backends():
    cfg = load_config(str(CONFIG), work_dir='runs/first')
    own = dict(type='mmengine.WandbVisBackend', init_kwargs=dict(project='own'))
    cfg.visualizer.vis_backends.append(own)
    add_trackers(cfg, ['wandb', 'tensorboard', 'tensorboard'])
    backends = [dict(backend) for backend in cfg.visualizer.vis_backends]
    assert backends == [dict(type='LocalVisBackend'), own, dict(type='TensorboardVisBackend')]
    assert cfg.visualizer.type == 'DetLocalVisualizer'
    bare = Config(dict(work_dir='runs/first'))
    add_trackers(bare, ['wandb'])
    assert [backend.type for backend in bare.visualizer.vis_backends] == [
        'LocalVisBackend',
        'WandbCurves',
    ]
    assert bare.visualizer.vis_backends[1].init_kwargs == dict(name='first')


@pytest.fixture(scope='module')
def tracked(tmp_path_factory):
    """Train with both trackers; the folder of the curves and those of the JSON log."""
    pytest.importorskip('tensorboard')
    pytest.importorskip('wandb')
    folder = tmp_path_factory.mktemp('tracked')
    # what a user's project has, and must not be sent
    (folder / 'private.py').write_text('')
    cfg = Config(dict(work_dir=str(folder / 'run')))
    add_trackers(cfg, ['tensorboard', 'wandb'])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv('WANDB_MODE', 'offline')
        patch.setenv('WANDB_SILENT', 'true')
        make_runner(cfg.work_dir, model=Head(), hooks={}, visualizer=cfg.visualizer).train()
    (log,) = folder.rglob('scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row['step'] for row in rows] == [1, 2]
    return log.parent, rows


@pytest.mark.slow
def test_tensorboard_reads_the_curves(tracked):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, rows = tracked
    events = EventAccumulator(str(folder)).Reload()
    for name in ('loss', 'lr'):
        read = [(event.step, event.value) for event in events.Scalars(name)]
        assert read == [(row['step'], pytest.approx(row[name], rel=1e-5)) for row in rows]


@pytest.mark.slow
def test_wandb_keeps_the_curves_and_no_code(tracked):
    from wandb.proto.wandb_internal_pb2 import Record

    folder, rows = tracked
    (path,) = folder.glob('wandb/offline-run-*/run-*.wandb')
    records = []
    for data in _read_log(path.read_bytes()):
        records.append(Record())
        records[-1].ParseFromString(data)
    curves = [
        {
            '/'.join(item.nested_key) or item.key: json.loads(item.value_json)
            for item in r.history.item
        }
        for r in records
        if r.WhichOneof('record_type') == 'history'
    ]
    assert [row['loss'] for row in curves] == [pytest.approx(row['loss']) for row in rows]
    (run,) = [r.run for r in records if r.WhichOneof('record_type') == 'run']
    assert run.display_name == 'run'
    assert not any(r.WhichOneof('record_type') == 'artifact' for r in records)


def _read_log(content):
    """Yield the records of a file of W&B, which is a log of LevelDB's after 7 bytes."""
    record, at = b'', 7
    while at < len(content):
        size, kind = struct.unpack_from('<HB', content, at + 4)
        record += content[at + 7 : at + 7 + size]
        at += 7 + size
        # 1: a whole record, 4: the last part of one
        if kind in (1, 4):
            yield record
            record = b''
