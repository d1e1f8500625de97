"""A file gets no more memory than it fills, and its tensors arrive as they were saved."""

import json
import os
import resource
import stat
import struct
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hostile import Runs, record, rewrite
from safetensors.torch import save_file

from sparx_mm.checkpoint_io import CheckpointError, read_checkpoint, trust_checkpoints

WEIGHTS = {'a.weight': torch.arange(600.0).view(20, 30), 'a.bias': torch.ones(20)}
HUGE = 10**13
OLD = dict(_use_new_zipfile_serialization=False)


@pytest.fixture
def path(tmp_path):
    """A file of weights."""
    torch.save(WEIGHTS, tmp_path / 'file.pth')
    return str(tmp_path / 'file.pth')


def refused(path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    # in KiB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10
    message = str(error.value)
    assert path in message and '\n' not in message and len(message) < 400
    return message


class Claims:
    """Pickles as a function and its arguments, and then a state."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def core():
    return (getattr(np, '_core', None) or np.core).multiarray


@pytest.mark.tries('a checkpoint that runs code')
@pytest.mark.parametrize('options', [{}, OLD], ids=['zip', 'pickle'])
@pytest.mark.parametrize(
    'claim',
    [
        lambda: Runs(bytearray, 1 << 30),
        lambda: Runs(torch.Tensor, HUGE),
        lambda: Runs(torch.FloatTensor, 1 << 33),
        lambda: Runs(torch.Tensor, 1 << 33),
        lambda: torch.ones(1).expand(HUGE),
        lambda: torch.nn.Parameter(torch.ones(1).expand(HUGE)),
        lambda: torch.empty(HUGE, device='meta'),
        lambda: torch.empty(2, device='meta'),
        lambda: Runs(core()._reconstruct, np.ndarray, (1 << 33,), b'b'),
        lambda: Runs(core().scalar, np.dtype('S1000000000')),
        lambda: Claims(core()._reconstruct, (np.ndarray, (0,), b'b'), (1, (HUGE,), '<f8', 0, b'')),
    ],
)
def test_a_claim_of_terabytes(path, claim, options):
    torch.save(dict(state_dict=WEIGHTS, x=[claim()]), path, **options)
    refused(path)


def test_what_is_expanded_a_little_is_read(path):
    weights = dict(WEIGHTS, a=torch.ones(1).expand(3, 4))
    torch.save(weights, path)
    assert read_checkpoint(path)['state_dict']['a'].equal(weights['a'])


@pytest.mark.tries('a checkpoint that runs code')
def test_a_bomb(path):
    rewrite(path, {'data/0': bytes(1 << 24)}, zipfile.ZIP_DEFLATED)
    assert os.path.getsize(path) < 1 << 16
    assert 'records claim 16' in refused(path)


def test_records_that_overlap(path):
    """Each record of the table is the same bytes."""
    with zipfile.ZipFile(path, 'a') as archive:
        large = max(archive.infolist(), key=lambda r: r.file_size)
        for i in range(100):
            copy = zipfile.ZipInfo(f'{large.filename}{i}')
            for name in ('CRC', 'compress_size', 'file_size', 'header_offset'):
                setattr(copy, name, getattr(large, name))
            archive.filelist.append(copy)
            archive._didModify = True
    assert 'overlap' in refused(path)


def test_two_records_of_one_name(path):
    with zipfile.ZipFile(path, 'a') as archive, pytest.warns(UserWarning, match='Duplicate'):
        archive.writestr(archive.namelist()[0], b'\x80\x02N.')
    assert 'two records of one name' in refused(path)


def test_records_are_found_whatever_their_case_is(tmp_path, path):
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    (name,) = [name for name in records if name.endswith('.pkl')]
    bomb = b'cbuiltins\nbytearray\n(I536870912\ntR.'
    for changed in ({name[:-3] + 'PKL': bomb}, {name: records[name], name.upper(): bomb}):
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as archive:
            others = {key: value for key, value in records.items() if key != name}
            for key, value in {**changed, **others}.items():
                archive.writestr(key, value)
        message = refused(path)
        assert 'bytearray' in message or 'two records of one name' in message


def test_another_archive_in_front(tmp_path, path):
    whole = (tmp_path / 'file.pth').read_bytes()
    (tmp_path / 'file.pth').write_bytes(whole + whole)
    assert 'before its first record' in refused(path)


@pytest.mark.parametrize('name', ['file/../../../trace', '../../trace', '/tmp/../trace', 'link'])
def test_nothing_is_unpacked(tmp_path, path, name):
    """Records are read where they are, whatever their names and types."""
    folder = tmp_path / 'in/side'
    folder.mkdir(parents=True)
    (folder / 'file.pth').write_bytes((tmp_path / 'file.pth').read_bytes())
    odd = zipfile.ZipInfo(name)
    if name == 'link':
        odd.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(folder / 'file.pth', 'a') as archive:
        archive.writestr(odd, b'/etc/passwd')
    before = sorted(tmp_path.rglob('*'))
    if name.startswith('file/'):
        found = read_checkpoint(str(folder / 'file.pth'))['state_dict']
        assert found['a.bias'].equal(WEIGHTS['a.bias'])
    else:
        # torch has all records in one folder
        refused(str(folder / 'file.pth'))
    assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.tries('a flipped bit')
@pytest.mark.parametrize('bit', range(8))
def test_a_flipped_bit_of_a_tensor(tmp_path, path, bit):
    """torch alone reads another number."""
    whole = bytearray((tmp_path / 'file.pth').read_bytes())
    whole[whole.find(WEIGHTS['a.weight'].numpy().tobytes()) + 1234] ^= 1 << bit
    (tmp_path / 'file.pth').write_bytes(whole)
    assert not torch.load(path)['a.weight'].equal(WEIGHTS['a.weight'])
    assert 'was cut off or is damaged (Bad CRC-32' in refused(path)


def test_files_without_checksums_are_read(path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(WEIGHTS, path)
    finally:
        torch.serialization.set_crc32_options(before)
    assert read_checkpoint(path)['state_dict']['a.weight'].equal(WEIGHTS['a.weight'])


def test_trust_leaves_the_checks_out(path):
    torch.save(dict(WEIGHTS, x=bytearray(b'ab')), path)
    assert '(builtins.bytearray)' in refused(path)
    with trust_checkpoints():
        assert read_checkpoint(path)['state_dict']['x'] == b'ab'


@pytest.mark.parametrize(
    'change',
    [
        lambda header: {**header, 'a.bias': {**header['a.bias'], 'shape': [HUGE]}},
        lambda header: {**header, 'a.bias': {**header['a.bias'], 'data_offsets': [0, HUGE]}},
        lambda header: {**header, 'a.bias': {**header['a.bias'], 'data_offsets': [80, 0]}},
        lambda header: {**header, 'a.bias': {**header['a.bias'], 'dtype': 'F99'}},
        lambda header: {**header, 'b': header['a.bias']},
        lambda header: {'a.bias': header['a.bias']},
        lambda header: {'a': [[[[]]]]},
    ],
)
def test_a_header_of_safetensors_that_lies(tmp_path, change):
    path = tmp_path / 'file.safetensors'
    save_file(WEIGHTS, path)
    whole = path.read_bytes()
    (size,) = struct.unpack('<Q', whole[:8])
    header = json.dumps(change(json.loads(whole[8 : 8 + size]))).encode()
    path.write_bytes(struct.pack('<Q', len(header)) + header + whole[8 + size :])
    assert 'was cut off or is damaged' in refused(str(path))


@pytest.mark.parametrize('size', [0, 1, 2**31, 2**62, 2**64 - 1])
def test_a_header_of_safetensors_of_another_length(tmp_path, size):
    path = tmp_path / 'file.safetensors'
    save_file(WEIGHTS, path)
    path.write_bytes(struct.pack('<Q', size) + path.read_bytes()[8:])
    refused(str(path))


def test_a_yacs_config_is_a_dict(path, monkeypatch):
    """VSSD's released files hold one; yacs is not needed to read them."""

    class CfgNode(dict):
        pass

    CfgNode.__module__, CfgNode.__qualname__ = 'yacs.config', 'CfgNode'
    module = types.ModuleType('yacs.config')
    module.CfgNode = CfgNode
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'yacs', types.ModuleType('yacs'))
        patch.setitem(sys.modules, 'yacs.config', module)
        config = CfgNode(MODEL=CfgNode(NAME='vssd'), LR=0.1)
        config.__dict__['__immutable__'] = True
        torch.save(dict(model=WEIGHTS, config=config), path)
    found = read_checkpoint(path)
    assert found['config'] == dict(MODEL=dict(NAME='vssd'), LR=0.1)
    assert type(found['config']['MODEL']) is OrderedDict
    assert record(path, 'data.pkl').count(b'CfgNode') == 1
    # and no other name of that package
    rewrite(path, {'data.pkl': record(path, 'data.pkl').replace(b'CfgNode', b'CfgMode')})
    assert '(yacs.config.CfgMode)' in refused(path)
