"""The command `sparx-mm`, as a clone has it."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import sparx_mm

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs the command in this process: its status and output."""
    main = runpy.run_path(str(TOOLS / 'sparx-mm'))['main']
    monkeypatch.setattr(sys, 'path', list(sys.path))
    monkeypatch.setitem(sys.modules, '__main__', sys.modules['__main__'])

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['sparx-mm', *arguments])
        try:
            status = main() or 0
        except SystemExit as end:
            status = end.code
        return status, ''.join(capsys.readouterr())

    return run


def test_it_lists_every_tool(run):
    status, text = run('--help')
    listed = {line.split()[0] for line in text.splitlines() if line.startswith('  ')}
    files = {path.stem for end in ('*.py', '*.sh') for path in TOOLS.glob(end)}
    assert status == 0
    assert listed == {name.replace('_', '-') for name in files - {'openmp', 'launch'}}
    assert any(line.endswith('  Train a model from a config') for line in text.splitlines())
    assert run() == run('help') == (status, text)
    assert run('--version') == (0, f'{sparx_mm.__version__}\n')


@pytest.mark.parametrize('name,tool', [('trian', 'train'), ('check_data', 'check-data')])
def test_a_wrong_tool_is_one_line(run, name, tool):
    assert run(name) == (f'error: no tool {name!r}; did you mean {tool}?', '')
    assert run('xyz') == ("error: no tool 'xyz'; sparx-mm --help lists them", '')


def test_a_tool_gets_its_options_and_names_the_command(run):
    status, text = run('make-shapes', '--wrong')
    assert status == 2
    assert text == 'error: unrecognized arguments: --wrong (see sparx-mm make-shapes --help)\n'


def test_without_the_package_it_says_so():
    command = [sys.executable, '-I', '-S', TOOLS / 'sparx-mm', 'train']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f'error: {sys.executable} has no package sparx_mm: install it there\n'


def test_a_package_without_tools_is_one_line(tmp_path):
    package = tmp_path / 'sparx_mm'
    (package / '.mim').mkdir(parents=True)
    (package / '__init__.py').touch()
    # a link that became text, and a folder of somebody else
    (package / '.mim/tools').write_text('../../tools')
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'tools/train.py').touch()
    done = subprocess.run(
        [sys.executable, TOOLS / 'sparx-mm', '--help'],
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == (
        f'error: {package} has no tools: install a wheel of sparx_mm, or a clone by git\n'
    )


def test_scripts_run_with_the_same_python(run, monkeypatch):
    started = []
    monkeypatch.setattr(os, 'execvp', lambda file, arguments: started.append(arguments))
    # undone at the end, though it was not there
    monkeypatch.setenv('PYTHON', '')
    monkeypatch.delenv('PYTHON')
    run('dist-train', 'config.py', '2')
    (command,) = started
    assert [command[0], *command[2:]] == ['bash', 'config.py', '2']
    assert Path(command[1]).samefile(TOOLS / 'dist_train.sh')
    assert os.environ['PYTHON'] == sys.executable
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, 'error: no config file config.py\n')
