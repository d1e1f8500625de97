"""mmcv's wheel: found or compiled once, kept in the user's cache.

The name of a wheel's folder has all that the compiled operators depend on. The
folder is filled under another name and renamed when it is complete. The C library is not in
the name: a wheel is taken only after its operators have run.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from console import fail, say, wait_for_lock
from mmcv_compile import compile_mmcv

# the user's variable: a folder with wheels
WHEELS = 'SPARX_MM_WHEELS'
FIT = Path(__file__).with_name('mmcv_fit.py')


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


def wheel_cache():
    """Return the folder of the user's wheels, or exit if nothing can be written there."""
    wheels = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache', 'sparx_mm/wheels').expanduser()
    try:
        wheels.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=str(wheels)).close()
    except OSError as error:
        fail(
            f"mmcv's wheel cannot be kept in {wheels}: {error.strerror}; name a folder for "
            'caches that you can write to: XDG_CACHE_HOME=/path/to/folder'
        )
    return wheels


def mmcv_wheel(python, mmcv, torch, archs=''):
    """Return the path of the wheel, from the first place that has it.

    The places are the user's cache, the folder that SPARX_MM_WHEELS names, the index that pip is
    configured with, and mmcv's source, which is compiled.

    Args:
        python (str): Interpreter with torch, setuptools and ninja.
        mmcv, torch, archs: As in `wheel_key`.
    """
    wheels = wheel_cache()
    key = wheel_key(mmcv, torch, archs)
    with open(f'{wheels / key}.log', 'a', buffering=1) as log:
        wait_for_lock(log, f'the same wheel; its log: {log.name}')
        kept = list(wheels.glob(f'{key}/*.whl'))
        if not any(fits(python, wheel, archs, "this user's cache") for wheel in kept):
            for left_over in wheels.glob(f'{key}.*.tmp'):
                shutil.rmtree(str(left_over))
            log.truncate(0)
            with tempfile.TemporaryDirectory(
                prefix=f'{key}.', suffix='.tmp', dir=str(wheels)
            ) as tmp:
                folder = f'{tmp}/wheel'
                if not fetch_wheel(python, mmcv, archs, folder, log):
                    say(
                        f'no wheel of {mmcv} for torch {torch} was found: it is compiled here, once'
                    )
                    compile_mmcv(python, mmcv, archs, folder, log)
                # a wheel that does not fit goes only when there is another
                shutil.rmtree(str(wheels / key), ignore_errors=True)
                os.rename(folder, str(wheels / key))
    return str(next(wheels.glob(f'{key}/*.whl')))


def fetch_wheel(python, mmcv, archs, folder, log):
    """Download a wheel that fits, and return True if there is one.

    Args:
        python (str): Interpreter with torch.
        mmcv, archs: As in `wheel_key`.
        folder (str): Folder to make; it is not there if no wheel fits.
        log (IO): Open file for pip's output.
    """
    # an index that does not answer must not hold up the set-up
    places = {"pip's index": ['--timeout', '15', '--retries', '0']}
    given = os.environ.get(WHEELS)
    if given:
        if not Path(given).is_dir():
            fail(f'{WHEELS} is {given!r}, which is not a folder; name the folder of the wheel')
        places = {given: ['--no-index', '--find-links', given], **places}
    for place, options in places.items():
        command = [python, '-m', 'pip', 'download', '--only-binary', ':all:', '--no-deps']
        command += ['--no-cache-dir', '--dest', folder, *options, mmcv]
        if subprocess.call(command, stdout=log, stderr=log):
            say(f'{place} has no wheel of {mmcv} for this Python and machine')
        else:
            (wheel,) = Path(folder).glob('*.whl')
            if fits(python, wheel, archs, place):
                return True
        # pip makes the folder in any case
        shutil.rmtree(folder, ignore_errors=True)
    return False


def fits(python, wheel, archs, place):
    """Say whether a wheel fits, or why not, and return True if it does.

    Args:
        python, wheel, archs: As in `why_not`.
        place (str): Where the wheel was found.
    """
    reason = why_not(python, wheel, archs)
    say(f'{wheel.name} of {place} ' + (f'does not fit: {reason}' if reason else 'fits'))
    return not reason


def why_not(python, wheel, archs):
    """Return the reason why a wheel does not fit, or ''.

    Args:
        python (str): Interpreter with torch.
        wheel (Path): The wheel.
        archs (str): As in `wheel_key`.
    """
    # a process of its own, because operators for another torch may crash it
    command = [python, '-W', 'ignore', str(FIT), str(wheel), archs]
    done = subprocess.run(command, stderr=subprocess.PIPE, universal_newlines=True)
    reason = done.stderr.strip().split('\n')[-1] or 'its operators crash'
    return reason if done.returncode else ''
