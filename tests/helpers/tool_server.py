"""Run tools in forks of one process that has imported what they need.

Importing it takes five seconds of a core, which is most of a small run. Reads one
run a line from stdin and answers with its exit status; `tool_process` asks.
"""

import gc
import json
import os
import runpy
import sys
from importlib import import_module
from importlib.util import find_spec
from multiprocessing.pool import ThreadPool
from types import SimpleNamespace

import sparx_mm.engine  # noqa: F401


def main():
    for library in ('mmdet', 'mmseg', 'mmpretrain', 'mmrotate'):
        if find_spec(library) is not None:
            import_module(f'{library}.utils').register_all_modules(init_default_scope=False)
    if 'mmrotate' in sys.modules:
        # it evaluates in four processes, each of which would import the libraries anew
        mean_ap = import_module('mmrotate.evaluation.functional.mean_ap')
        mean_ap.get_context = lambda method: SimpleNamespace(Pool=ThreadPool)
    # what is imported stays, so collections in the forks need not look through it
    gc.freeze()
    print('ready', flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(**json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(path, args, folder, environment, outputs):
    """Go on as the program that a command line would have started."""
    for number, output in enumerate(outputs, 1):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [path, *args]
    sys.path[0] = os.path.dirname(path)
    runpy.run_path(path, run_name='__main__')


if __name__ == '__main__':
    main()
