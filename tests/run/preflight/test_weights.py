"""Missing files of weights end in one line before anything is built."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import PretrainedInit

from sparx_mm.checkpoint_io.download import cached_file
from sparx_mm.errors import UserError
from sparx_mm.run import preflight


def _config(**kwargs):
    return Config(dict(kwargs))


def _weights(checkpoint, kind='Pretrained'):
    init_cfg = dict(type=kind, checkpoint=checkpoint)
    return _config(model=dict(backbone=dict(init_cfg=init_cfg)))


@pytest.mark.parametrize(
    'kind',
    [
        'Pretrained',
        'PretrainedSwin',
        'mmengine.model.PretrainedInit',
        'mmengine.PretrainedVMamba',
        PretrainedInit,
    ],
)
def test_missing_weights(kind, tmp_path):
    with pytest.raises(UserError) as error:
        preflight.check_weights(_weights(f'{tmp_path}/a.pth', kind))
    key = 'model.backbone.init_cfg'
    assert str(error.value) == (
        f'{key}.checkpoint: the file {tmp_path}/a.pth does not exist; give a '
        f'file with --cfg-options {key}.checkpoint=FILE, or train from '
        f'scratch with {key}=None'
    )
    torch.save({}, tmp_path / 'a.pth')
    preflight.check_weights(_weights(f'{tmp_path}/a.pth', kind))
    with pytest.raises(UserError, match='is a folder'):
        preflight.check_weights(_weights(str(tmp_path), kind))


@pytest.mark.parametrize('kept', [0, 1, 0.5, 0.99])
def test_files_that_are_no_checkpoint(tmp_path, kept):
    path = tmp_path / 'a.pth'
    torch.save(dict(weight=torch.zeros(1000)), path)
    whole = path.read_bytes()
    size = kept if isinstance(kept, int) else int(kept * len(whole))
    path.write_bytes(whole[:size])
    with pytest.raises(UserError, match='is empty|is not a check|was cut off'):
        preflight.check_weights(_weights(str(path)))


def test_checkpoint_from_before_zip_files(tmp_path):
    path = str(tmp_path / 'a.pth')
    torch.save({}, path, _use_new_zipfile_serialization=False)
    preflight.check_weights(_weights(path))


def test_drop_pretrained():
    kaiming = dict(type='Kaiming', layer='Conv2d')
    pretrained = dict(type='Pretrained', checkpoint='none.pth')
    swin = dict(type='PretrainedSwin', checkpoint='none.pth')
    cfg = _config(
        model=dict(
            backbone=dict(init_cfg=swin),
            neck=dict(init_cfg=[kaiming, pretrained]),
            roi_head=dict(init_cfg=dict(pretrained, type='mmengine.model.PretrainedInit')),
            heads=[dict(init_cfg=kaiming), dict()],
        )
    )
    preflight.drop_pretrained(cfg)
    preflight.check_weights(cfg)
    assert cfg.model == dict(
        backbone=dict(init_cfg=None),
        neck=dict(init_cfg=[kaiming]),
        roi_head=dict(init_cfg=None),
        heads=[dict(init_cfg=[kaiming]), dict()],
    )


@pytest.mark.tries('a teacher without its weights')
@pytest.mark.parametrize(
    'key, teacher',
    [
        ('init_cfg.checkpoint', dict(init_cfg=dict(type='Pretrained', checkpoint='none.pth'))),
        ('checkpoint_path', dict(type='TimmClassifier', checkpoint_path='none.pth')),
    ],
)
def test_a_teacher_without_its_file(key, teacher):
    cfg = _config(model=dict(type='DistilledClassifier', teacher=teacher))
    # nor has the checkpoint of a run a teacher
    preflight.drop_pretrained(cfg)
    with pytest.raises(UserError) as error:
        preflight.check_weights(cfg)
    assert str(error.value) == (
        f'model.teacher.{key}: the file {Path("none.pth").absolute()} does not exist; give a file '
        f'with --cfg-options model.teacher.{key}=FILE, or train without a teacher with '
        'model.teacher=None'
    )


def test_weights_in_a_list_are_found(tmp_path):
    init_cfg = [dict(type='Normal', layer='Conv2d'), dict(type='Pretrained', checkpoint='none.pth')]
    cfg = _config(model=dict(neck=dict(init_cfg=init_cfg)))
    with pytest.raises(UserError, match=r'model.neck.init_cfg.1.checkpoint'):
        preflight.check_weights(cfg)


def test_weights_that_mmengine_resolves_are_left_to_it():
    preflight.check_weights(_weights('open-mmlab://resnet50'))
    preflight.check_weights(_config(model=dict(backbone=dict(init_cfg=None))))


def test_weights_by_url(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    # port 9 is "discard": nobody listens on it
    url = 'https://127.0.0.1:9/a.pth'
    with pytest.raises(UserError) as error:
        preflight.check_weights(_weights(url))
    message = str(error.value)
    assert message.startswith(f'model.backbone.init_cfg.checkpoint: {url} cannot be downloaded (')
    assert 'refused' in message
    assert '--cfg-options model.backbone.init_cfg.checkpoint=FILE' in message
    cache = tmp_path / 'hub/checkpoints'
    assert [file.name for file in cache.iterdir()] == ['a.pth.lock']
    with open(cached_file(url), 'w'):
        preflight.check_weights(_weights(url))
