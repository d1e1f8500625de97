"""Make .venv: torch, the OpenMMLab packages and this plugin, editable.

`make setup` runs this. A .venv is either as the last set-up finished it, or
made anew. Python's own library is all that is needed.
"""
import argparse
import configparser
import hashlib
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

from console import fail, output, say, wait_for_lock
from machine import (check_build_tools, find_gpus, find_nvcc,
                     use_supported_python, why_on_cpu)
from mmcv_wheel import mmcv_wheel

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / '.venv'
PYTHON = str(VENV / 'bin/python')
# there when a set-up has finished; says what .venv was made from
STAMP = VENV / 'setup.stamp'
# the Makefile reads it before it runs something
RUN_ENV = VENV / 'run.env'
EXTRAS = ('build', 'onedl', 'dev')


def requirements(extra):
    """The lines of an extra in setup.cfg."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(str(ROOT / 'setup.cfg'))
    return config['options.extras_require'][extra].split()


def stamp(gpus, nvcc):
    """What .venv depends on; another stamp means another .venv."""
    parts = [ROOT, gpus, nvcc]
    parts += [requirements(extra) for extra in EXTRAS]
    parts += [
        f.read_text() for f in sorted(Path(__file__).parent.glob('*.py'))
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def is_finished(wanted):
    """Whether .venv was finished with this stamp, and PYTHON if given."""
    version = output(PYTHON, '--version').strip()
    this = f'Python {platform.python_version()}'
    if not version or (os.environ.get('PYTHON') and version != this):
        return False
    return STAMP.exists() and STAMP.read_text() == wanted


def python(*arguments):
    """Run .venv's Python and show what it prints."""
    if subprocess.call([PYTHON, *arguments]):
        fail(f'this failed, see above: {PYTHON} {" ".join(arguments)}')


def pip_install(*arguments):
    quiet = [] if sys.stdout.isatty() else ['-qq']
    python('-m', 'pip', 'install', *quiet, *arguments)


def describe_torch():
    """torch's version, its CUDA version and the GPUs' architectures."""
    code = ('import torch; gpu = torch.cuda; n = gpu.device_count();'
            'print(torch.__version__);'
            'print(torch.version.cuda if gpu.is_available() else "");'
            'print(*sorted({"%d.%d" % gpu.get_device_capability(i)'
            ' for i in range(n)}), sep=";")')
    text = output(PYTHON, '-W', 'ignore', '-c', code)
    if not text:
        fail(f'torch does not load: {PYTHON} -c "import torch"')
    return text.split('\n')[:3]


def keep_headless_opencv():
    """Leave one cv2: the stack pulls in two wheels that both write it."""
    code = ('from importlib.metadata import version, PackageNotFoundError\n'
            'try: print(version("opencv-python-headless"))\n'
            'except PackageNotFoundError: print(version("opencv-python"))')
    version = output(PYTHON, '-c', code).strip()
    python('-m', 'pip', 'uninstall', '--quiet', '--yes', 'opencv-python',
           'opencv-python-headless')
    pip_install('--no-deps', f'opencv-python-headless=={version}')
    say(f'OpenCV: opencv-python-headless {version} instead of opencv-python, '
        'so libGL is not needed')


def run_env(reason):
    """Shell lines that hide a GPU and say why; none without a reason."""
    if not reason:
        return ''
    note = shlex.quote(f'on the CPU: {reason}')
    return f'export CUDA_VISIBLE_DEVICES=\necho {note}\n'


def install(gpus, nvcc):
    """Make .venv from nothing."""
    build = requirements('build')
    say(f'making .venv with Python {platform.python_version()}, '
        f'{", ".join(build)}')
    if subprocess.call([sys.executable, '-m', 'venv', '--clear', str(VENV)]):
        fail(f'{VENV} cannot be made, see above')
    pip_install(*build)
    torch, cuda, archs = describe_torch()
    reason = why_on_cpu(gpus, nvcc, cuda)
    say(f'torch {torch}; mmcv\'s operators are made for the ' +
        (f'CPU: {reason}' if reason else f'GPU (CUDA {nvcc}, {archs})'))
    mmcv, = [line for line in requirements('onedl') if 'mmcv=' in line]
    wheel = mmcv_wheel(PYTHON, mmcv, torch, '' if reason else archs)
    say(f'installing {wheel}, the other packages and this plugin')
    # the extra build pins torch: it stays as it is
    pip_install(wheel, '--editable', f'{ROOT}[{",".join(EXTRAS)}]')
    keep_headless_opencv()
    python('-W', 'ignore', '-c', 'import cv2, mmcv, torch, mmcv._ext')
    RUN_ENV.write_text(run_env(reason) if gpus else '')


def check(gpus, nvcc):
    """Say what this machine has, or end with what it lacks."""
    use_supported_python()
    check_build_tools()
    # which CUDA version torch wants is known once it is installed
    reason = why_on_cpu(gpus, nvcc, nvcc or 'of torch')
    say(f'Python {platform.python_version()}, its headers and g++ are there; '
        'mmcv\'s operators will be made for the ' +
        (f'CPU: {reason}' if reason else f'GPU (CUDA {nvcc})'))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = lambda message: parser.exit(2, f'error: {message}\n')
    parser.add_argument(
        '--check',
        action='store_true',
        help='say what this machine has or lacks, install nothing')
    args = parser.parse_args()
    gpus, nvcc = find_gpus(), find_nvcc()
    if args.check:
        check(gpus, nvcc)
        return
    # for writing: a lock on a network file system asks for it
    with open(str(ROOT / 'setup.cfg'), 'a') as lock:
        wait_for_lock(lock, '.venv')
        wanted = stamp(gpus, nvcc)
        if is_finished(wanted):
            return
        start = time.monotonic()
        use_supported_python()
        check_build_tools()
        install(gpus, nvcc)
        STAMP.write_text(wanted)
        say(f'done in {(time.monotonic() - start) / 60:.1f} min')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        fail('interrupted; type make setup to begin again')
