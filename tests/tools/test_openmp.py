"""The tools keep OpenMP's threads from spinning, and leave the user's choice alone."""

import ast
import os
import subprocess
import sys

import pytest
from detection import ROOT

TOOLS = sorted(path for path in (ROOT / 'tools').glob('*.py') if path.stem != 'openmp')


@pytest.mark.parametrize('path', TOOLS, ids=lambda path: path.stem)
def test_it_comes_before_torch(path):
    names = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module)
    packages = [name for name in names if name.split('.')[0] not in sys.stdlib_module_names]
    assert packages[0] == 'openmp'


@pytest.mark.tries('other programs on the cores')
@pytest.mark.parametrize(
    'given,policy,count',
    [
        ({}, None, '2000'),
        (dict(GOMP_SPINCOUNT='7'), None, '7'),
        (dict(OMP_WAIT_POLICY='passive'), 'passive', None),
        (dict(OMP_WAIT_POLICY='active', GOMP_SPINCOUNT=''), 'active', ''),
    ],
)
def test_what_is_set_stays(given, policy, count):
    names = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')
    rest = {name: value for name, value in os.environ.items() if name not in names}
    code = 'import os, openmp, sys; print([os.environ.get(n) for n in {}], "torch" in sys.modules)'
    done = subprocess.run(
        [sys.executable, '-c', code.format(names)],
        env={**rest, **given, 'PYTHONPATH': str(ROOT / 'tools')},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == f'{[policy, count]} False', done.stderr
