"""Two runs in one folder: the second one is refused."""

import errno
import os
import subprocess
import sys

import pytest

from sparx_mm.checkpoint_io import folder_lock, lock_folder
from sparx_mm.errors import UserError

HOLD = """
import os, sys, time
from sparx_mm.checkpoint_io import lock_folder
lock = lock_folder(sys.argv[1])
# a worker that outlives the run, as those of a data loader do for seconds
if os.fork() == 0:
    os.close(1)
    time.sleep(60)
    os._exit(0)
print('held', flush=True)
time.sleep(60)
"""


@pytest.mark.tries('a second run')
def test_a_second_run_is_refused_until_the_first_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, '-c', HOLD, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as other:
        assert other.stdout.readline() == 'held\n'
        message = f'{tmp_path} is in use by another run .process {other.pid} on '
        with pytest.raises(UserError, match=message):
            lock_folder(str(tmp_path))
        other.kill()
        other.wait()
        try:
            lock_folder(str(tmp_path)).close()
        finally:
            os.killpg(other.pid, 9)


@pytest.mark.tries('a file system without locks')
def test_a_file_system_without_locks_is_used_without(tmp_path, monkeypatch):
    def fails(*args):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(folder_lock.fcntl, 'lockf', fails)
    assert lock_folder(str(tmp_path)) is None


@pytest.mark.tries('a second run')
def test_it_is_held_until_the_last_holder_closes_it(tmp_path):
    one, other = (lock_folder(str(tmp_path)) for _ in range(2))
    code = f'from sparx_mm.checkpoint_io import lock_folder; lock_folder({str(tmp_path)!r})'

    def try_elsewhere():
        done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
        return done.returncode == 0 or 'in use by another run' not in done.stderr

    other.close()
    other.close()
    assert not try_elsewhere()
    one.close()
    assert try_elsewhere()
    lost = lock_folder(str(tmp_path))
    assert not try_elsewhere()
    del lost
    assert try_elsewhere()
