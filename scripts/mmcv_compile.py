"""Compile mmcv's source, and show how far that is."""

import os
import re
import subprocess
from pathlib import Path

from console import Progress, fail, say
from machine import usable_cores, usable_memory

# SHA-256 of the sources, whose setup.py runs here; change them with setup.cfg
SOURCES = {
    'mmcv==2.1.0': 'd387bcab66b467479b6660310e23746cfc79c6e57acf04094680adb499a5cd3f',
    'onedl-mmcv==2.3.6': '8704978a3d492b15cc058742ac3165bd1bcc2dd20678da9ed39e0da3048e3045',
}


def compile_mmcv(python, mmcv, archs, folder, log):
    """Compile the wheel into a folder and write the compiler's output into a log.

    Args:
        python (str): Interpreter with torch, setuptools and ninja.
        mmcv (str): Requirement, ``name==version``.
        archs (str): Architectures of its CUDA operators, ``'8.0;9.0'``; '' for none.
        folder (str): Folder to make.
        log (IO): Open file.
    """
    if mmcv not in SOURCES:
        fail(f'scripts/mmcv_compile.py has no SHA-256 of the source of {mmcv}')
    pinned = Path(f'{folder}.txt')
    # a hash can be given in a file only
    pinned.write_text(f'{mmcv} --hash=sha256:{SOURCES[mmcv]}\n')
    env = compiler_env(python, archs)
    more = ', and longer with operators for a GPU' if archs else ''
    say('mmcv has the C++ operators that detectors call, such as RoIAlign and NMS')
    say(f'this takes 5 to 15 minutes on 2 cores{more}; compilers at a time: {env["MAX_JOBS"]}')
    say(f'their output: {log.name}')
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
    progress = Progress('mmcv')
    try:
        with subprocess.Popen(command, env=env, stdout=log, stderr=log) as process:
            while process.poll() is None:
                try:
                    process.wait(progress.interval)
                except subprocess.TimeoutExpired:
                    progress.show(*ninja_steps(log.name))
    finally:
        progress.close()
    if process.returncode:
        fail(f'mmcv did not compile; why is in {log.name}')


def ninja_steps(log):
    """Return how many of how many files are compiled, by the last count in the log; (0, 0) if none.

    Args:
        log (str): Path of the compiler's output, in which ninja counts: ``[3/78] c++ ...``
    """
    steps = re.findall(r'^\s*\[(\d+)/(\d+)\]', Path(log).read_text(errors='replace'), re.M)
    return tuple(map(int, steps[-1])) if steps else (0, 0)


def compiler_env(python, archs):
    """Return the environment of mmcv's build; the user's MAX_JOBS is kept.

    Args:
        python (str): Interpreter; ninja is beside it.
        archs (str): As in `compile_mmcv`.
    """
    # because a compiler needs up to 2 GiB
    jobs = max(1, min(usable_cores(), usable_memory() >> 31))
    env = dict(os.environ, MAX_JOBS=os.environ.get('MAX_JOBS') or str(jobs))
    env.update(MMCV_WITH_OPS='1', FORCE_CUDA='1' if archs else '0')
    # because pip puts ninja beside python
    env['PATH'] = os.pathsep.join([os.path.dirname(python), env['PATH']])
    if archs:
        env.update(TORCH_CUDA_ARCH_LIST=archs)
    else:
        env.update(CUDA_VISIBLE_DEVICES='')
    return env
