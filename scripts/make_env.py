"""Make an environment: torch, the OpenMMLab packages, this plugin editable.

`make setup` and `make test-openmmlab` run this. An environment is kept as the
last set-up finished it, or made anew. Only Python's standard library is needed.
"""

import argparse
import configparser
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from console import Steps, fail, output, say, wait_for_lock
from machine import (
    base_python,
    check_build_tools,
    chosen_archs,
    find_gpus,
    find_nvcc,
    use_supported_python,
    why_on_cpu,
)
from mmcv_wheel import mmcv_wheel, wheel_cache

ROOT = Path(__file__).resolve().parents[1]
# extra in setup.cfg: its folder. Each has one distribution of the OpenMMLab
# packages, because both install the same import packages
FOLDERS = dict(onedl='.venv', openmmlab='.venv-openmmlab')
# has each Python of an environment import torchvision beside a torch for the CPU too
TORCHVISION_STUB = ROOT / 'sparx_mm/compat/torchvision_stub.py'
# which pip copies, though the plugin is editable
COMMAND = ROOT / 'tools/sparx-mm'
# has its version, which pip records
PACKAGE = ROOT / 'sparx_mm/__init__.py'
# further extras; they are tested with the default distribution alone
MORE = dict(onedl=('pretrain', 'rotate', 'export', 'track', 'geo', 'clients', 'docs'), openmmlab=())


def requirements(name):
    """List the lines of an extra in setup.cfg, or of install_requires."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(str(ROOT / 'setup.cfg'))
    section = 'options.extras_require'
    if name == 'install_requires':
        section = 'options'
    return config[section][name].split()


def run_env(reason):
    """Return shell lines that hide a GPU and print the reason, if there is one."""
    if not reason:
        return ''
    note = shlex.quote(f'on the CPU: {reason}')
    return f'export CUDA_VISIBLE_DEVICES=\necho {note}\n'


class Environment:
    """A virtual environment in the clone.

    Args:
        stack (str): The extra with its OpenMMLab packages, of `FOLDERS`.
    """

    def __init__(self, stack):
        self.extras = ('build', stack, *MORE[stack], 'dev')
        self.folder = ROOT / FOLDERS[stack]
        # where the one of before stays until this one is finished
        self.old = ROOT / f'{FOLDERS[stack]}.old'
        self.python = str(self.folder / 'bin/python')
        # written when a set-up has finished; a hash of what it was made from
        self.stamp = self.folder / 'setup.stamp'
        # sourced by the Makefile before it runs a command
        self.run_env = self.folder / 'run.env'
        (self.mmcv,) = [line for line in requirements(stack) if 'mmcv=' in line]

    def wanted_stamp(self, gpus, nvcc):
        """Hash what the environment depends on.

        Args:
            gpus (list[str]): Result of `find_gpus`.
            nvcc (str): Result of `find_nvcc`.
        """
        parts = [ROOT, gpus, nvcc]
        parts += [requirements(name) for name in ('install_requires', *self.extras)]
        # without check_*.py, because lint makes no environment
        scripts = sorted(Path(__file__).parent.glob('*.py'))
        parts += [f.read_text() for f in scripts if not f.name.startswith('check_')]
        parts += [f.read_text() for f in (TORCHVISION_STUB, COMMAND)]
        parts += re.findall('^__version__ = .*', PACKAGE.read_text(), re.M)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def is_finished(self, wanted):
        """Return True if it was finished with this stamp, and PYTHON if given."""
        version = output(self.python, '--version').strip()
        this = f'Python {platform.python_version()}'
        if not version or (os.environ.get('PYTHON') and version != this):
            return False
        return self.stamp.exists() and self.stamp.read_text() == wanted

    def run(self, *arguments):
        """Run its Python and show the output."""
        if subprocess.call([self.python, *arguments]):
            command = ' '.join([self.python, *arguments])
            fail(f'this failed, see above: {command}')

    def pip_install(self, *arguments):
        """Install with its pip, quietly unless the output is a terminal."""
        quiet = [] if sys.stdout.isatty() else ['-qq']
        self.run('-m', 'pip', 'install', *quiet, *arguments)

    def describe_torch(self):
        """Return torch's version, its CUDA version, and the architectures to make operators for."""
        code = (
            'import torch; gpu = torch.cuda; n = gpu.device_count();'
            f'chosen = {chosen_archs()!r};'
            'print(torch.__version__);'
            'print((chosen or gpu.is_available()) and torch.version.cuda or "");'
            'print(chosen or ";".join(sorted({"%d.%d" % gpu.get_device_capability(i)'
            ' for i in range(n)})))'
        )
        text = output(self.python, '-W', 'ignore', '-c', code)
        if not text:
            fail(f'torch does not load: {self.python} -c "import torch"')
        return text.split('\n')[:3]

    def keep_headless_opencv(self):
        """Keep one of the two wheels that install cv2, because the other needs libGL."""
        code = (
            'from importlib.metadata import version, PackageNotFoundError'
            '\ntry: print(version("opencv-python-headless"))\n'
            'except PackageNotFoundError: print(version("opencv-python"))'
        )
        version = output(self.python, '-c', code).strip()
        self.run(
            '-m', 'pip', 'uninstall', '-qq', '--yes', 'opencv-python', 'opencv-python-headless'
        )
        self.pip_install('--no-deps', f'opencv-python-headless=={version}')
        say(
            f'OpenCV: opencv-python-headless {version} instead of '
            'opencv-python, so libGL is not needed'
        )

    def set_aside(self):
        """Rename the environment of before, where that can be done.

        A link stays, because it names another disk. A volume, or a folder of an image's layer, has
        no other name: venv clears it.
        """
        if not self.folder.is_symlink():
            try:
                os.rename(str(self.folder), str(self.old))
            except OSError:
                pass

    def settle(self):
        """Keep the new environment if it is signed, else the one that was set aside."""
        if not self.old.exists():
            return
        if self.stamp.exists():
            shutil.rmtree(str(self.old))
        else:
            say(f'{self.folder.name} is again the one of before')
            shutil.rmtree(str(self.folder), ignore_errors=True)
            os.rename(str(self.old), str(self.folder))

    def install(self, gpus, nvcc):
        """Make the environment anew.

        Args:
            gpus (list[str]): Result of `find_gpus`.
            nvcc (str): Result of `find_nvcc`.
        """
        steps = Steps(5)
        steps.begin(f'{self.folder.name}, with Python {platform.python_version()}')
        if subprocess.call([base_python(), '-m', 'venv', '--clear', str(self.folder)]):
            fail(f'{self.folder} cannot be made, see above')
        build = requirements('build')
        steps.begin(f'torch, and what mmcv is compiled with: {", ".join(build)}')
        self.pip_install(*build)
        torch, cuda, archs = self.describe_torch()
        reason = why_on_cpu(gpus, nvcc, cuda)
        say(
            f"torch {torch}; mmcv's operators are made for the "
            + (f'CPU: {reason}' if reason else f'GPU (CUDA {nvcc}, {archs})')
        )
        steps.begin(f"the wheel of mmcv's operators, {self.mmcv}")
        wheel = mmcv_wheel(self.python, self.mmcv, torch, '' if reason else archs)
        steps.begin('the other packages and this plugin, which takes 1 to 5 minutes')
        say(f'mmcv is {wheel}')
        # torch stays as it is, because the extra build pins it
        self.pip_install(wheel, '--editable', f'{ROOT}[{",".join(self.extras)}]')
        steps.begin('OpenCV without libGL, torchvision, and a first import')
        self.keep_headless_opencv()
        self.run(str(TORCHVISION_STUB))
        self.run('-W', 'ignore', '-c', 'import cv2, mmcv, torch, mmcv._ext')
        self.run_env.write_text(run_env(reason) if gpus else '')
        steps.report()


def check(gpus, nvcc):
    """Print what this machine has, or exit with what it lacks.

    Args:
        gpus (list[str]): Result of `find_gpus`.
        nvcc (str): Result of `find_nvcc`.
    """
    use_supported_python()
    check_build_tools()
    # torch's CUDA version is unknown until torch is installed
    reason = why_on_cpu(gpus, nvcc, nvcc or 'of torch')
    say(
        f'Python {platform.python_version()}, its headers and g++ are there; '
        "mmcv's operators will be made for the "
        + (f'CPU: {reason}' if reason else f'GPU (CUDA {nvcc})')
    )


def open_lock():
    """Open the file that is locked while an environment is made, or exit if that cannot be.

    It is one for all environments, because each writes the clone's egg-info, and opened for
    writing, because a network file system locks no other file.
    """
    try:
        return open(str(ROOT / 'setup.cfg'), 'a')
    except OSError as error:
        fail(
            f'no environment can be made in {ROOT}, where setup.cfg cannot be written: '
            f'{error.strerror}; use a clone of your own'
        )


def main():
    """Parse the command line and make the environment, or check the machine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = lambda message: parser.exit(2, f'error: {message}\n')
    parser.add_argument(
        'stack',
        nargs='?',
        choices=list(FOLDERS),
        default='onedl',
        help='the OpenMMLab packages; default: onedl',
    )
    parser.add_argument(
        '--check', action='store_true', help='say what this machine has or lacks, install nothing'
    )
    args = parser.parse_args()
    gpus, nvcc = find_gpus(), find_nvcc()
    if args.check:
        check(gpus, nvcc)
        return
    environment = Environment(args.stack)
    wanted = environment.wanted_stamp(gpus, nvcc)
    # a finished environment needs nothing that can be written
    if environment.is_finished(wanted):
        return
    with open_lock() as lock:
        wait_for_lock(lock, 'an environment')
        # after a set-up that was killed
        environment.settle()
        # by the set-up that had the lock
        if environment.is_finished(wanted):
            return
        use_supported_python()
        check_build_tools()
        # before the long steps
        wheel_cache()
        environment.set_aside()
        try:
            environment.install(gpus, nvcc)
            environment.stamp.write_text(wanted)
        finally:
            environment.settle()


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        fail('interrupted; the same command begins again')
