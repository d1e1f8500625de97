"""mmcv's wheel: compiled once, kept in the user's cache.

The name of a wheel's folder has all that the compiled operators depend on. The
folder is filled under another name and renamed when it is complete.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from console import fail, say, wait_for_lock

# SHA-256 of the sources, whose setup.py runs here; change them with setup.cfg
SOURCES = {
    'mmcv==2.1.0': 'd387bcab66b467479b6660310e23746cfc79c6e57acf04094680adb499a5cd3f',
    'onedl-mmcv==2.3.6': '8704978a3d492b15cc058742ac3165bd1bcc2dd20678da9ed39e0da3048e3045',
}


def wheel_key(mmcv, torch, archs=''):
    """Name the wheel's folder.

    Args:
        mmcv (str): Requirement, ``name==version``.
        torch (str): torch's version with its +cpu or CUDA tag.
        archs (str): Architectures of its CUDA operators, ``'8.0;9.0'``; '' for
            none. Default: ''.

    Example:
        >>> wheel_key('onedl-mmcv==2.3.6', '2.13.0+cu130', '8.0;9.0')
        'onedl-mmcv2.3.6-torch2.13.0+cu130-cp311-x86_64-cuda8.0+9.0'
    """
    python = 'cp{}{}'.format(*sys.version_info)
    operators = 'cuda' + archs.replace(';', '+') if archs else 'cpu'
    return '-'.join(
        [mmcv.replace('==', ''), f'torch{torch}', python, platform.machine(), operators]
    )


def mmcv_wheel(python, mmcv, torch, archs=''):
    """Return the path of the wheel, and compile it if it is not there.

    Args:
        python (str): Interpreter with torch, setuptools and ninja.
        mmcv, torch, archs: As in `wheel_key`.
    """
    cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    wheels = Path(cache, 'sparx_mm/wheels')
    wheels.mkdir(parents=True, exist_ok=True)
    key = wheel_key(mmcv, torch, archs)
    with open(f'{wheels / key}.log', 'a', buffering=1) as log:
        wait_for_lock(log, 'the same wheel')
        if not any(wheels.glob(f'{key}/*.whl')):
            for left_over in wheels.glob(f'{key}.*.tmp'):
                shutil.rmtree(str(left_over))
            log.truncate(0)
            with tempfile.TemporaryDirectory(
                prefix=f'{key}.', suffix='.tmp', dir=str(wheels)
            ) as tmp:
                compile_mmcv(python, mmcv, archs, f'{tmp}/wheel', log)
                os.rename(f'{tmp}/wheel', str(wheels / key))
    return str(next(wheels.glob(f'{key}/*.whl')))


def compile_mmcv(python, mmcv, archs, folder, log):
    """Compile the wheel into a folder and write the compiler's output into a log.

    Args:
        python (str): Interpreter with torch, setuptools and ninja.
        mmcv, archs: As in `wheel_key`.
        folder (str): Folder to make.
        log (IO): Open file.
    """
    if mmcv not in SOURCES:
        fail(f'scripts/mmcv_wheel.py has no SHA-256 of the source of {mmcv}')
    pinned = Path(f'{folder}.txt')
    # a hash can be given in a file only
    pinned.write_text(f'{mmcv} --hash=sha256:{SOURCES[mmcv]}\n')
    say(f'compiling {mmcv}, 5 to 15 minutes on 2 cores; log: {log.name}')
    # no cache of pip, because it does not tell one torch from another
    command = [
        python,
        '-m',
        'pip',
        'wheel',
        '--verbose',
        '--no-cache-dir',
        '--no-deps',
        '--no-build-isolation',
        '--no-binary',
        mmcv.split('==')[0],
        '--wheel-dir',
        folder,
        '--require-hashes',
        '--requirement',
        str(pinned),
    ]
    start, shown = time.monotonic(), 0
    with subprocess.Popen(
        command,
        env=compiler_env(python, archs),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        errors='replace',
    ) as process:
        for line in process.stdout:
            log.write(line)
            # ninja counts its steps: [3/78] c++ ...
            step = re.match(r'\s*\[(\d+)/(\d+)\]', line)
            percent = step and 100 * int(step.group(1)) // int(step.group(2))
            if percent and percent >= shown + 5:
                shown = percent
                minutes = (time.monotonic() - start) / 60
                say(f'mmcv {percent:3} %, {minutes:.1f} min')
    if process.returncode:
        fail(f'mmcv did not compile; why is in {log.name}')


def compiler_env(python, archs):
    """Return the environment of mmcv's build; the user's MAX_JOBS is kept.

    Args:
        python (str): Interpreter; ninja is beside it.
        archs (str): As in `wheel_key`.
    """
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    # because a compiler needs up to 2 GiB
    jobs = max(1, min(len(os.sched_getaffinity(0)), memory >> 31))
    env = {'MAX_JOBS': str(jobs), **os.environ}
    env.update(MMCV_WITH_OPS='1', FORCE_CUDA='1' if archs else '0')
    # because pip puts ninja beside python
    env['PATH'] = os.pathsep.join([os.path.dirname(python), env['PATH']])
    if archs:
        env.update(TORCH_CUDA_ARCH_LIST=archs)
    else:
        env.update(CUDA_VISIBLE_DEVICES='')
    return env
