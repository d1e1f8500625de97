"""Bad and hostile checkpoints, wherever a command line reads one."""

import runpy
import sys

import pytest
import torch
from archs import PICO
from detection import ROOT, tiny_config
from hostile import payloads

from sparx_mm import SparXMamba
from sparx_mm.state_dicts import SPARX

CONFIG = ROOT / 'configs/mmdet/mask_rcnn_sparx_b_1x.py'
# how each tool is given a file
READERS = dict(
    load_from=('train', ['{config}', '--cfg-options', 'load_from={file}']),
    init_cfg=('train', ['{pretrained}']),
    resume=('train', ['{config}', '--resume', '{file}']),
    resume_last=('train', ['{config}', '--work-dir', '{folder}', '--resume']),
    test=('test', ['{config}', '{file}']),
    draw=('draw_predictions', ['{config}', '{file}']),
    convert=('convert_checkpoint', ['{file}', '{folder}/out.pth']),
)


@pytest.fixture
def read(run, config, shapes, tmp_path, monkeypatch):
    """Let a tool read what is saved; its status and what it says."""
    folder = tmp_path / 'run'
    folder.mkdir()
    file = folder / 'file.pth'
    (folder / 'last_checkpoint').write_text(str(file))
    pretrained = tmp_path / 'pretrained.py'
    init_cfg = dict(type='Pretrained', checkpoint=str(file))
    cfg = tiny_config(CONFIG, shapes, model__backbone__init_cfg=init_cfg)
    cfg.dump(pretrained)
    places = dict(config=config, pretrained=pretrained, file=file, folder=folder)

    def read(reader, content, *options):
        if content is None:
            file.mkdir()
        elif isinstance(content, bytes):
            file.write_bytes(content)
        else:
            torch.save(content, file)
        tool, args = READERS[reader]
        args = [arg.format(**places) for arg in args]
        status, error = run(tool, *args, *options)
        lines = [line for line in error.splitlines() if 'Warning' not in line]
        return status, lines[-1] if lines else ''

    return read


def checkpoint(**more):
    """What a Runner would save of a backbone, and more."""
    weights = SPARX.to_released(SparXMamba(PICO).state_dict())
    return dict(
        state_dict={f'backbone.{k}': v for k, v in weights.items()},
        meta=dict(epoch=1, iter=2),
        message_hub={},
        **more,
    )


@pytest.mark.parametrize(
    'reader, payload',
    # all of them read with the code that refuses what a file calls
    [
        *((reader, 'getattr_gadget') for reader in READERS),
        *(('test', name) for name in sorted(payloads(None)) if name != 'getattr_gadget'),
    ],
)
def test_hostile_pickles(read, tmp_path, reader, payload):
    trace = tmp_path / 'trace'
    hostile = payloads(trace)[payload]
    status, line = read(reader, checkpoint(optimizer=hostile))
    assert status == 1
    assert line.startswith('error: ') and 'would run code' in line
    assert '--trust-checkpoint' in line
    assert not trace.exists()


def test_trust_runs_it(read, tmp_path):
    trace = tmp_path / 'trace'
    content = dict(a=torch.ones(1), b=payloads(trace)['system'])
    status, line = read('convert', content, '--trust-checkpoint')
    assert trace.exists()
    # and goes on to say what is wrong besides
    assert status == 1 and 'or VM-UNet backbone; its tensors' in line


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize(
    'content,message',
    [
        (b'', 'is empty'),
        (b'PK\x03\x04 and so on', 'was cut off'),
        (b'<html></html>', 'is not a checkpoint'),
        ([1, 2], 'the file is a list, and not weights'),
    ],
)
def test_bad_files(read, reader, content, message):
    status, line = read(reader, content)
    assert status == 1
    assert line.startswith('error: ') and message in line


@pytest.mark.parametrize('reader', READERS)
def test_weights_of_something_else(read, reader):
    other = dict(checkpoint(), state_dict={'fc.weight': torch.ones(2, 2)})
    status, line = read(reader, other)
    assert status == 1
    assert line.startswith('error: ')
    reason = 'cannot be resumed' if 'resume' in reader else 'holds no SparX'
    assert reason in line


@pytest.mark.parametrize('reader', READERS)
def test_a_folder(read, reader):
    status, line = read(reader, None)
    assert status == 1 and 'file.pth is a folder' in line


def test_converts(monkeypatch, capsys, tmp_path):
    path = str(ROOT / 'tools/convert_checkpoint.py')
    own = SparXMamba(PICO).state_dict()
    torch.save(own, tmp_path / 'own.pth')
    for args in (
        ['own.pth', 'released.safetensors', '--to', 'released'],
        ['released.safetensors', 'back.pth'],
    ):
        monkeypatch.setattr(sys, 'argv', [path, *args])
        runpy.run_path(path, run_name='__main__')
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith(f'{args[1]}: ')
    back = torch.load(tmp_path / 'back.pth')
    assert back.keys() == own.keys()
    assert all(back[name].equal(value) for name, value in own.items())
