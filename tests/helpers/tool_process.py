"""The tools, each run in a process of its own."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def _server():
    """Start `tool_server`, which ends with this process."""
    program = Path(__file__).with_name('tool_server.py')
    server = subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    # what the libraries print, because they are imported
    while server.stdout.readline() != 'ready\n':
        assert server.poll() is None
    return server


def run_tool(name, *args, folder, status=0) -> str:
    """Run a tool as its user does, from a folder that is not the project's.

    Args:
        name (str): Of the file in ``tools/``, without its ending.
        *args: Its arguments.
        folder (Path): Where it runs.
        status (int): The exit status to expect. Default: 0.

    Returns:
        str: What it printed, errors last.
    """
    return ''.join(run_program(ROOT / f'tools/{name}.py', *args, folder=folder, status=status))


def run_program(path, *args, folder, status=0) -> list[str]:
    """Run a Python file as a process of its own.

    The libraries are imported before it starts, which `tests/end_to_end/test_distributed.py`
    and `tests/tools/test_openmp.py` do without.

    Args:
        path (Path): The file.
        *args: Its arguments.
        folder (Path): Where it runs.
        status (int): The exit status to expect. Default: 0.

    Returns:
        list[str]: What it wrote to stdout, and to stderr.
    """
    with tempfile.TemporaryDirectory() as outputs:
        outputs = [Path(outputs, name) for name in ('out', 'err')]
        job = dict(
            path=str(path),
            args=[str(value) for value in args],
            folder=str(folder),
            environment=dict(os.environ),
            outputs=[str(output) for output in outputs],
        )
        server = _server()
        try:
            print(json.dumps(job), file=server.stdin, flush=True)
            returned = server.stdout.readline()
        except BaseException:
            # the next run would read the answer to this one
            server.kill()
            _server.cache_clear()
            raise
        written = [output.read_text() for output in outputs]
    assert returned == f'{status}\n', ''.join(written)
    return written
