"""Folders that cannot be written, or continued from, end in one line."""

import pytest
import torch

from sparx_mm.errors import UserError
from sparx_mm.run import preflight


def test_last_checkpoint(tmp_path):
    work_dir = str(tmp_path)
    assert preflight.last_checkpoint(work_dir) is None
    (tmp_path / 'last_checkpoint').write_text(f'{tmp_path}/b.pth\n')
    torch.save({}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match=r'b.pth does not exist; .* a.pth'):
        preflight.last_checkpoint(work_dir)
    torch.save({}, tmp_path / 'b.pth')
    assert preflight.last_checkpoint(work_dir) == f'{tmp_path}/b.pth'
    for broken in (b'', b'\xff\xfe\x00'):
        (tmp_path / 'last_checkpoint').write_bytes(broken)
        with pytest.raises(UserError, match='last_checkpoint: .* not exist'):
            preflight.last_checkpoint(work_dir)


def test_ensure_writable(tmp_path):
    preflight.ensure_writable(f'{tmp_path}/a/b', '--work-dir')
    assert (tmp_path / 'a/b').is_dir()
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='file cannot be written.*--work-dir'):
        preflight.ensure_writable(f'{tmp_path}/file', '--work-dir')
