"""A file is written whole, or what was there before stays."""

import errno
import resource
import subprocess
from pathlib import Path

import mmengine.runner
import pytest
import torch

from sparx_mm.checkpoint_io import WriteError, install, save_checkpoint, sweep, write_text, writer
from sparx_mm.checkpoint_io.writer import write_whole

WEIGHTS = dict(weight=torch.arange(50_000.0))


@pytest.fixture
def limit():
    """Limit the size of files, in bytes; a write beyond it is a real OSError."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 256 kB; it is unmounted afterwards."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip('this user may not mount a file system')
    yield folder
    subprocess.run(['umount', str(folder)], check=True)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_what_torch_would_have_written(tmp_path):
    save_checkpoint(WEIGHTS, str(tmp_path / 'new/a.pth'))
    torch.save(WEIGHTS, tmp_path / 'b.pth')
    a, b = (torch.load(path)['weight'] for path in (tmp_path / 'new/a.pth', tmp_path / 'b.pth'))
    assert a.equal(b)
    assert names(tmp_path / 'new') == ['a.pth']
    # readable by others as far as the user's mask allows, unlike temporary files
    assert (tmp_path / 'new/a.pth').stat().st_mode == (tmp_path / 'b.pth').stat().st_mode


@pytest.mark.tries('disk full')
def test_a_file_that_grows_too_large_leaves_the_old_one(tmp_path, limit):
    path = tmp_path / 'a.pth'
    save_checkpoint(dict(old=torch.ones(3)), str(path))
    limit(100_000)
    with pytest.raises(WriteError, match='a.pth cannot be written .File too large.$'):
        save_checkpoint(WEIGHTS, str(path))
    assert names(tmp_path) == ['a.pth']
    assert torch.load(path)['old'].equal(torch.ones(3))


@pytest.mark.tries('disk full')
def test_a_full_disk(small_disk):
    save_checkpoint(dict(old=torch.ones(3)), str(small_disk / 'a.pth'))
    with pytest.raises(WriteError, match='a.pth cannot be written .No space left on device.$'):
        save_checkpoint(dict(weight=torch.zeros(100_000)), str(small_disk / 'a.pth'))
    assert names(small_disk) == ['a.pth']
    assert torch.load(small_disk / 'a.pth')['old'].equal(torch.ones(3))
    # and there is room for what is small
    write_text(str(small_disk / 'last'), 'a.pth')


@pytest.mark.tries('disk full')
def test_a_folder_that_becomes_read_only(small_disk):
    write_text(str(small_disk / 'last'), 'a.pth')
    subprocess.run(['mount', '-o', 'remount,ro', str(small_disk)], check=True)
    with pytest.raises(WriteError, match='Read-only file system'):
        write_text(str(small_disk / 'last'), 'b.pth')
    with pytest.raises(WriteError, match='Read-only file system'):
        save_checkpoint(WEIGHTS, str(small_disk / 'new/b.pth'))
    assert (small_disk / 'last').read_text() == 'a.pth'


@pytest.mark.parametrize('name', ['fsync', 'replace'])
def test_the_name_comes_after_the_content(tmp_path, monkeypatch, name):
    def fails(*args):
        raise OSError(errno.EIO, 'Input/output error')

    write_text(str(tmp_path / 'last'), 'old')
    monkeypatch.setattr(writer.os, name, fails)
    with pytest.raises(WriteError, match='last cannot be written .Input/output error'):
        write_text(str(tmp_path / 'last'), 'new')
    assert names(tmp_path) == ['last'] and (tmp_path / 'last').read_text() == 'old'


def test_other_errors_are_not_the_disks(tmp_path):
    with pytest.raises(AttributeError, match='local object|pickle'):
        save_checkpoint(dict(f=lambda: None), str(tmp_path / 'a.pth'))
    assert names(tmp_path) == []


def test_what_dead_processes_left_is_swept(tmp_path):
    with write_whole(str(tmp_path / 'a.pth')) as file:
        stale = Path(file.name).name
    (tmp_path / stale).write_text('half')
    # of the user, or of another program
    (tmp_path / 'b.pth.partial').write_text('kept')
    assert sweep(str(tmp_path)) == [stale]
    assert names(tmp_path) == ['a.pth', 'b.pth.partial']


@pytest.mark.stack
def test_mmengine_writes_through_it(tmp_path, limit, monkeypatch):
    install()
    limit(100_000)
    for module in (mmengine.runner, mmengine.runner.checkpoint, mmengine.runner.runner):
        with pytest.raises(WriteError):
            module.save_checkpoint(WEIGHTS, str(tmp_path / 'a.pth'))
    assert names(tmp_path) == []


@pytest.mark.stack
def test_other_storages_are_left_to_mmengine():
    install()
    with pytest.raises(ImportError, match='petrel'):
        mmengine.runner.save_checkpoint(WEIGHTS, 's3://bucket/a.pth')
