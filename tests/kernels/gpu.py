"""Test the kernels on this machine's GPU, with the Python that runs this.

    make test-gpu PYTHON=python3

Nothing is set up: torch, Triton and pytest are those of that Python, and the
plugin is this clone, installed or not.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = 'tests/kernels'
TESTS = tuple(
    f'{FOLDER}/test_{name}.py'
    for name in ('triton', 'triton_norms', 'triton_depthwise', 'triton_gpu')
)
# a context and the small tests' tensors take less
WORKER_MEMORY = 8 << 30


def what_is_missing() -> str:
    """Say why nothing can be tested here, '' if nothing is missing."""
    for name in ('torch', 'triton', 'pytest'):
        if not importlib.util.find_spec(name):
            return f'{sys.executable} has no {name}; name another with PYTHON='
    import torch

    if not torch.cuda.is_available():
        return (
            f'torch {torch.__version__} of {sys.executable} finds no GPU; '
            "make test runs the kernels in Triton's interpreter"
        )
    sys.path.insert(0, str(ROOT))
    from sparx_mm.kernels.dispatch import missing_triton

    return missing_triton()


def share_out() -> list[str]:
    """Return options with which pytest has several workers, [] without pytest-xdist.

    Most of the time is the compiler's, which works on one core.
    """
    if not importlib.util.find_spec('xdist'):
        return []
    import torch

    memory = torch.cuda.get_device_properties(0).total_memory
    workers = min(os.cpu_count() or 1, memory // WORKER_MEMORY)
    return ['-n', str(workers), '--dist', 'loadgroup'] if workers > 1 else []


def memcheck() -> int:
    """Run the self-test under compute-sanitizer, if that runs here.

    Returns:
        int: Its exit status; 0, after a line that says why, if it does not run.
    """
    program = shutil.which('compute-sanitizer') or shutil.which(
        '/usr/local/cuda/bin/compute-sanitizer'
    )
    if not program:
        print('memcheck left out: there is no compute-sanitizer')
        return 0
    # one allocation a tensor, so that their ends are seen
    env = dict(os.environ, PYTORCH_NO_CUDA_MEMORY_CACHING='1')
    command = [program, '--tool', 'memcheck', '--error-exitcode', '86', sys.executable]
    code = 'import torch; torch.zeros(1, device="cuda").cpu()'
    tried = subprocess.run(
        [*command, '-c', code], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    # as in a container that forbids tracing
    if tried.returncode:
        print(
            f'memcheck left out: {program} does not run on this machine; it '
            f'says: {" ".join(tried.stdout.split())}'
        )
        return 0
    return subprocess.call([*command, '-m', 'sparx_mm.info', '--selftest'], cwd=ROOT, env=env)


def main() -> int:
    """Run the tests, check memory, and return the exit status."""
    # neither the interpreter nor another backend, whatever the shell says
    os.environ.pop('TRITON_INTERPRET', None)
    # nor products in TF32, which some containers ask for
    os.environ.pop('NVIDIA_TF32_OVERRIDE', None)
    os.environ.pop('TORCH_ALLOW_TF32_CUBLAS_OVERRIDE', None)
    os.environ['SPARX_MM_KERNELS'] = 'triton'
    missing = what_is_missing()
    if missing:
        print('error:', missing, file=sys.stderr)
        return 1
    # the folder above has fixtures that need mmengine
    status = subprocess.call(
        [
            *(sys.executable, '-m', 'pytest', '--confcutdir', FOLDER, '-p', 'no:cacheprovider'),
            *share_out(),
            *TESTS,
        ],
        cwd=ROOT,
    )
    return status or memcheck()


if __name__ == '__main__':
    sys.exit(main())
