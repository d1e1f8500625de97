"""Reading a checkpoint runs no code from it, and errors name the file."""

import argparse
import os
import pickle

import numpy as np
import pytest
import torch
from hostile import Runs, payloads, touch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer, MessageHub
from safetensors.torch import save_file
from torch import nn, serialization

from sparx_mm.checkpoint_io import (
    CheckpointError,
    checkpoint_kind,
    read_checkpoint,
    trust_checkpoints,
)
from sparx_mm.errors import UserError

pytestmark = pytest.mark.stack
WEIGHTS = {'a.weight': torch.arange(6.0).view(2, 3), 'a.bias': torch.ones(2)}
PAYLOADS = sorted(payloads(None))
NOT_FINITE = [
    (float('nan'), torch.float32),
    (float('inf'), torch.float16),
    (-float('inf'), torch.bfloat16),
]
OLD = dict(_use_new_zipfile_serialization=False)


@pytest.fixture
def file(tmp_path):
    """Save something as a checkpoint."""

    def save(content, **options):
        torch.save(content, tmp_path / 'file.pth', **options)
        return str(tmp_path / 'file.pth')

    return save


def same(found, expected):
    return found.keys() == expected.keys() and all(
        found[name].equal(value) for name, value in expected.items()
    )


def refused(path):
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    message = str(error.value)
    assert path in message and '\n' not in message and len(message) < 300
    return message


@pytest.mark.parametrize('options', [{}, OLD], ids=['zip', 'pickle'])
@pytest.mark.parametrize(
    'content',
    [
        WEIGHTS,
        dict(state_dict=WEIGHTS),
        dict(model={f'module.{k}': v for k, v in WEIGHTS.items()}),
    ],
)
def test_weights_are_under_state_dict(file, content, options):
    found = read_checkpoint(file(content, **options))
    assert list(found) == ['state_dict']
    assert same(found['state_dict'], WEIGHTS)


def test_the_rest_stays(file):
    content = dict(epoch=3, optimizer=dict(state={}), model=WEIGHTS)
    found = read_checkpoint(file(content))
    assert found.pop('state_dict').keys() == WEIGHTS.keys()
    assert found == dict(epoch=3, optimizer=dict(state={}))


def test_safetensors_whatever_the_name(tmp_path):
    for name in ('a.safetensors', 'a.pth'):
        save_file(WEIGHTS, tmp_path / name)
        assert checkpoint_kind(str(tmp_path / name)) == 'safetensors'
        found = read_checkpoint(str(tmp_path / name), map_location='cpu')
        assert same(found['state_dict'], WEIGHTS)


def test_versions_of_modules_stay(file):
    state = nn.BatchNorm2d(2).state_dict()
    found = read_checkpoint(file(dict(state_dict=state)))['state_dict']
    assert found._metadata[''] == dict(version=2)


def test_map_location(file):
    found = read_checkpoint(file(WEIGHTS), map_location='meta')
    assert found['state_dict']['a.bias'].device.type == 'meta'


@pytest.mark.parametrize('options', [{}, OLD], ids=['zip', 'pickle'])
def test_what_a_runner_logs_is_read(file, options):
    hub = MessageHub('reader test')
    for value in (3.0, 1.0, 2.0):
        hub.update_scalar('train/loss', value)
    hub.update_scalar('train/lr', np.float32(0.5))
    hub.update_info('epoch', np.int64(7))
    hub.update_info('names', np.array(['a', 'b']))
    logged = hub.state_dict()
    logged['log_scalars']['train/none'] = HistoryBuffer()
    content = dict(
        state_dict=WEIGHTS,
        message_hub=logged,
        meta=dict(palette=np.zeros((2, 3), np.uint8), flag=np.bool_(True)),
    )
    found = read_checkpoint(file(content, **options))
    loss = found['message_hub']['log_scalars']['train/loss']
    assert isinstance(loss, HistoryBuffer)
    assert (loss.min(), loss.max(), loss.current()) == (1, 3, 2)
    assert loss.statistics('mean') == 2
    assert len(found['message_hub']['log_scalars']['train/none'].data[0]) == 0
    assert found['message_hub']['runtime_info']['epoch'] == 7
    assert found['meta']['palette'].dtype == np.uint8


@pytest.mark.parametrize('options', [{}, OLD], ids=['zip', 'pickle'])
def test_settings_of_a_run_are_read(file, options):
    args = argparse.Namespace(lr=0.1, name='vim')
    meta = dict(groups=ConfigDict(round=['circle'], deep=dict(a=1)))
    found = read_checkpoint(file(dict(model=WEIGHTS, args=args, meta=meta), **options))
    assert found['args'] == args
    assert found['meta'] == dict(groups=dict(round=['circle'], deep=dict(a=1)))


@pytest.mark.tries('a checkpoint that runs code')
@pytest.mark.parametrize('options', [{}, OLD], ids=['zip', 'pickle'])
@pytest.mark.parametrize('payload', PAYLOADS)
@pytest.mark.parametrize('place', ['alone', 'state_dict', 'meta', 'optimizer'])
def test_hostile_pickles_are_refused(file, tmp_path, payload, place, options):
    trace = tmp_path / 'trace'
    hostile = payloads(trace)[payload]
    content = dict(state_dict=dict(WEIGHTS), meta={}, optimizer={})
    if place == 'alone':
        content = hostile
    else:
        content[place]['x'] = hostile
    message = refused(file(content, **options))
    assert 'it would run code' in message and '--trust-checkpoint' in message
    assert not trace.exists()


def test_a_file_changes_no_class(file):
    buffer = HistoryBuffer([1.0], [1])
    # __getstate__ writes the methods of the class into each buffer
    buffer._statistics_methods = dict(HistoryBuffer._statistics_methods, mean=torch.device)
    read_checkpoint(file(dict(state_dict=WEIGHTS, x=buffer)))
    assert HistoryBuffer([1.0, 3.0], [1, 1]).statistics('mean') == 2


def test_a_bare_pickle_is_refused(tmp_path):
    trace = tmp_path / 'trace'
    path = tmp_path / 'file.pth'
    path.write_bytes(pickle.dumps(Runs(os.system, f'touch {trace}'), 2))
    refused(str(path))
    assert not trace.exists()


def test_a_file_within_itself_ends(file):
    content = dict(WEIGHTS)
    content['state_dict'] = content
    refused(file(content))


class _Pickled:
    """Pickles as what it is given."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize('place', ['x', 'state_dict', 'buffer'])
def test_forged_arrays_are_refused(file, place):
    # text of eight bytes that claims to be the address of an object
    core = getattr(np, '_core', None) or np.core
    objects = _Pickled(np.dtype, ('O', False, True))
    state = (3, '|', None, ('a',), {'a': (objects, 0)}, 8, 1, 0)
    dtype = _Pickled(np.dtype, ('S8', False, True), state)
    array = _Pickled(
        core.multiarray._reconstruct, (np.ndarray, (0,), b'b'), (1, (1,), dtype, False, b'A' * 8)
    )
    content = dict(state_dict=dict(WEIGHTS), x={}, buffer=HistoryBuffer())
    if place == 'buffer':
        content[place].hidden = [array]
    else:
        content[place]['deep'] = [dict(down=array)]
    assert 'numpy array of more than numbers' in refused(file(content))


def test_arrays_of_objects_are_refused(file):
    array = np.array([1, 'a'], object)
    assert 'is refused' in refused(file(dict(state_dict=WEIGHTS, x=array)))


@pytest.mark.parametrize('protocol', [4, 5])
def test_other_protocols_say_so(file, protocol):
    path = file(WEIGHTS, pickle_protocol=protocol)
    assert 'save it again with torch.save' in refused(path)


def test_programs_say_so(tmp_path):
    path = str(tmp_path / 'file.pth')
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), path)
    assert 'is a TorchScript program' in refused(path)


def test_whole_models_are_refused_by_name(file):
    message = refused(file(nn.Linear(1, 1)))
    assert '(torch.nn.modules.linear.Linear)' in message


def test_what_others_have_allowed_is_not_allowed(file, tmp_path):
    trace = tmp_path / 'trace'
    with serialization.safe_globals([getattr, eval]):
        before = set(serialization.get_safe_globals())
        for payload in payloads(trace).values():
            refused(file(dict(WEIGHTS, x=payload)))
        # and it is theirs again afterwards
        assert set(serialization.get_safe_globals()) == before
    assert not trace.exists()


def test_trust_is_a_choice_for_a_while(file, tmp_path):
    trace = tmp_path / 'trace'
    content = dict(state_dict=WEIGHTS, meta=dict(cfg='a = 1', x=Runs(os.system, f'touch {trace}')))
    with trust_checkpoints(False):
        refused(file(content))
    with trust_checkpoints():
        assert read_checkpoint(file(content))['meta']['cfg'] == 'a = 1'
    assert trace.exists()
    refused(file(content))


@pytest.mark.parametrize('key', ['cfg', 'config'])
def test_config_text_is_dropped(file, tmp_path, key):
    text = touch(tmp_path / 'trace')
    hub = dict(runtime_info={key: text, 'iter': 2}, log_scalars={})
    found = read_checkpoint(
        file(dict(state_dict=WEIGHTS, meta={key: text, 'epoch': 1}, message_hub=hub))
    )
    assert found['meta'] == dict(epoch=1)
    assert found['message_hub'] == dict(runtime_info=dict(iter=2), log_scalars={})


@pytest.mark.parametrize(
    'content,message',
    [
        ([1, 2], 'the file is a list'),
        (torch.ones(1), 'the file is a Tensor'),
        ({}, 'no tensor in an empty dict'),
        (dict(a=1, b='text'), 'no tensor in a, b'),
        ({1: torch.ones(1)}, 'the file has names that are not text'),
        (dict(state_dict={}, meta={}), 'no tensor in state_dict, meta'),
        (
            dict(state_dict={0: torch.ones(1)}),
            'the entry of the weights has names that are not text',
        ),
        (dict(WEIGHTS, x=torch.ones(1).to_sparse()), 'x is a sparse or quantised'),
        (dict(state_dict=WEIGHTS, ema_state_dict=5), 'ema_state_dict is a int'),
        (dict(state_dict=WEIGHTS, ema_state_dict={1: 2}), 'names that are not'),
    ],
)
def test_files_without_weights(file, content, message):
    assert message in refused(file(content))


@pytest.mark.tries('a flipped bit')
@pytest.mark.parametrize('form', ['zip', 'pickle', 'safetensors'])
@pytest.mark.parametrize('tenth', range(10))
def test_truncated(tmp_path, file, form, tenth):
    weights = {'a': torch.rand(1000), 'b': torch.rand(10)}
    path = file(weights, **(OLD if form == 'pickle' else {}))
    if form == 'safetensors':
        save_file(weights, path)
    whole = (tmp_path / 'file.pth').read_bytes()
    (tmp_path / 'file.pth').write_bytes(whole[: len(whole) * tenth // 10])
    message = refused(path)
    assert ('is empty' if tenth == 0 else 'was cut off') in message


@pytest.mark.tries('a flipped bit')
@pytest.mark.parametrize('form', ['zip', 'pickle', 'safetensors'])
def test_one_byte_short(tmp_path, file, form):
    path = file(WEIGHTS, **(OLD if form == 'pickle' else {}))
    if form == 'safetensors':
        save_file(WEIGHTS, path)
    whole = (tmp_path / 'file.pth').read_bytes()
    (tmp_path / 'file.pth').write_bytes(whole[:-1])
    assert 'was cut off' in refused(path)


@pytest.mark.parametrize(
    'content',
    [
        b'not a checkpoint at all',
        b'<!DOCTYPE html><html></html>',
        b'\x80',
        b'{"a": 1}',
        b'\x00' * 100,
    ],
)
def test_not_a_checkpoint(tmp_path, content):
    (tmp_path / 'file.pth').write_bytes(content)
    message = refused(str(tmp_path / 'file.pth'))
    assert 'is not a checkpoint' in message or 'is damaged' in message


def test_zip_of_something_else(tmp_path, file):
    np.savez(tmp_path / 'a.npz', a=np.zeros(3))
    assert 'is damaged' in refused(str(tmp_path / 'a.npz'))


def test_no_file(tmp_path):
    assert 'is a folder' in refused(str(tmp_path))
    assert 'does not exist' in refused(str(tmp_path / 'none.pth'))
    assert issubclass(CheckpointError, UserError)


def test_home_is_found(file, tmp_path, monkeypatch):
    file(WEIGHTS)
    monkeypatch.setenv('HOME', str(tmp_path))
    assert same(read_checkpoint('~/file.pth')['state_dict'], WEIGHTS)


@pytest.mark.tries('NaN in the weights')
@pytest.mark.parametrize('options', [{}, OLD], ids=['zip', 'pickle'])
def test_weights_that_are_not_finite_are_named(file, capsys, options):
    broken = {f'b.{i}.weight': torch.full((2,), v, dtype=t) for i, (v, t) in enumerate(NOT_FINITE)}
    path = file(dict(state_dict={**WEIGHTS, **broken}), **options)
    assert len(read_checkpoint(path)['state_dict']) == len(WEIGHTS) + len(broken)
    assert f'{path}: NaN or infinity in b.*.weight (3): ' in capsys.readouterr().out
    read_checkpoint(file(dict(state_dict=WEIGHTS, other=broken)))
    assert 'NaN' not in capsys.readouterr().out
