"""mmcv's wheel is found where one fits, else compiled once, and never taken when it is not whole."""

import os
import sys
import threading
import zipfile
from pathlib import Path

import mmcv_fit
import mmcv_wheel
import pytest

WHEEL = ('mmcv==2', '2.13.0+cpu')
# stands in for the environment's Python: pip finds a wheel where the folder `found` says
PYTHON = """#!{python}
import pathlib, sys
here = pathlib.Path({here!r})
arguments = sys.argv[1:]
if any(name.endswith('mmcv_fit.py') for name in arguments):
    (wheel,) = [name for name in arguments if name.endswith('.whl')]
    text = pathlib.Path(wheel).read_text()
    sys.exit(None if text == 'whole' else text)
place = arguments[arguments.index('--find-links') + 1] if '--no-index' in arguments else 'index'
with open(here / 'asked', 'a') as file:
    print(pathlib.Path(place).name, file=file)
source = here / 'found' / pathlib.Path(place).name
if not source.exists():
    sys.exit('none found')
folder = pathlib.Path(arguments[arguments.index('--dest') + 1])
folder.mkdir()
(folder / 'mmcv-2-cp311.whl').write_text(source.read_text())
"""


def test_the_key_tells_what_operators_depend_on():
    keys = [
        mmcv_wheel.wheel_key(*arguments)
        for arguments in [
            ('onedl-mmcv==2.3.6', '2.13.0+cpu'),
            ('onedl-mmcv==2.3.7', '2.13.0+cpu'),
            ('mmcv==2.3.6', '2.13.0+cpu'),
            ('onedl-mmcv==2.3.6', '2.13.0+cu130'),
            ('onedl-mmcv==2.3.6', '2.13.0+cu130', '9.0'),
            ('onedl-mmcv==2.3.6', '2.13.0+cu130', '8.0;9.0'),
        ]
    ]
    assert len(set(keys)) == len(keys)
    python = 'cp{}{}'.format(*sys.version_info)
    assert keys[0] == f'onedl-mmcv2.3.6-torch2.13.0+cpu-{python}-{os.uname().machine}-cpu'
    assert keys[-1].endswith('-cuda8.0+9.0')


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Stand in for the ten minutes; return the cache, the calls and what ends them."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.delenv('SPARX_MM_WHEELS', raising=False)
    calls, ends = [], []

    def compile_mmcv(python, mmcv, archs, folder, log):
        calls.append(folder)
        Path(folder).mkdir()
        (Path(folder) / 'mmcv.whl').write_text('whole')
        for end in ends:
            end()

    monkeypatch.setattr(mmcv_wheel, 'compile_mmcv', compile_mmcv)
    return tmp_path / 'sparx_mm/wheels', calls, ends


def get_wheel(python='false'):
    return Path(mmcv_wheel.mmcv_wheel(python, *WHEEL))


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Return a Python, a function that puts wheels into places, and the places that were asked."""
    python = tmp_path / 'python'
    python.write_text(PYTHON.format(python=sys.executable, here=str(tmp_path)))
    python.chmod(0o755)
    for name in ('found', 'folder'):
        (tmp_path / name).mkdir()
    monkeypatch.setenv('SPARX_MM_WHEELS', str(tmp_path / 'folder'))

    def put(place, text='whole'):
        (tmp_path / 'found' / place).write_text(text)

    def asked():
        return (tmp_path / 'asked').read_text().split()

    return str(python), put, asked


def test_a_wheel_is_taken_from_the_first_place_that_has_one(compiler, places, capsys):
    _, calls, _ = compiler
    python, put, asked = places
    put('index')
    put('folder')
    assert get_wheel(python).name == 'mmcv-2-cp311.whl'
    assert asked() == ['folder'] and not calls
    assert 'folder fits' in capsys.readouterr().out
    # the next time it is in the cache
    assert get_wheel(python).name == 'mmcv-2-cp311.whl'
    assert asked() == ['folder']
    assert "mmcv-2-cp311.whl of this user's cache fits" in capsys.readouterr().out


def test_a_wheel_of_the_cache_that_no_longer_fits_is_replaced(compiler, places, capsys):
    cache, calls, ends = compiler
    python, _, _ = places
    kept = cache / mmcv_wheel.wheel_key(*WHEEL) / 'kept.whl'
    kept.parent.mkdir(parents=True)
    kept.write_text('GLIBC_2.38 not found')
    # and stays until there is another
    ends.append(lambda: calls.append(kept.exists()))
    assert get_wheel(python).read_text() == 'whole'
    assert calls[1:] == [True] and not kept.exists()
    said = capsys.readouterr().out
    assert "kept.whl of this user's cache does not fit: GLIBC_2.38 not found" in said


def test_a_wheel_that_does_not_fit_is_passed_over(compiler, places, capsys):
    _, calls, _ = compiler
    python, put, asked = places
    put('folder', 'undefined symbol')
    put('index', 'for the CPU alone')
    assert get_wheel(python).read_text() == 'whole'
    assert asked() == ['folder', 'index'] and len(calls) == 1
    said = capsys.readouterr().out
    assert 'folder does not fit: undefined symbol' in said
    assert "pip's index does not fit: for the CPU alone" in said
    assert 'no wheel of mmcv==2 for torch 2.13.0+cpu was found: it is compiled here, once' in said


def test_the_index_is_asked_last(compiler, places, capsys):
    _, calls, _ = compiler
    python, put, asked = places
    put('index')
    assert get_wheel(python).name == 'mmcv-2-cp311.whl'
    assert asked() == ['folder', 'index'] and not calls
    assert 'folder has no wheel of mmcv==2 for this Python' in capsys.readouterr().out


def test_a_folder_of_wheels_that_is_not_there(compiler, monkeypatch):
    monkeypatch.setenv('SPARX_MM_WHEELS', '/nowhere')
    with pytest.raises(SystemExit, match="SPARX_MM_WHEELS is '/nowhere', which is not a folder"):
        get_wheel()


@pytest.mark.slow
def test_pip_and_torch_look_at_a_wheel(tmp_path, compiler, monkeypatch, capsys):
    """The options are those of the real pip, and a wheel without operators does not fit."""
    info = 'mmcv-2.dist-info'
    with zipfile.ZipFile(tmp_path / 'mmcv-2-py3-none-any.whl', 'w') as wheel:
        wheel.writestr('mmcv/__init__.py', '')
        wheel.writestr(f'{info}/METADATA', 'Metadata-Version: 2.1\nName: mmcv\nVersion: 2\n')
        wheel.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\n')
        wheel.writestr(f'{info}/RECORD', '')
    monkeypatch.setenv('SPARX_MM_WHEELS', str(tmp_path))
    monkeypatch.setenv('PIP_INDEX_URL', (tmp_path / 'none').as_uri())
    monkeypatch.setenv('PIP_CONFIG_FILE', os.devnull)
    assert get_wheel(sys.executable).read_text() == 'whole'
    said = capsys.readouterr().out
    assert f'any.whl of {tmp_path} does not fit: it has no operators' in said
    assert "pip's index has no wheel of mmcv==2" in said


@pytest.mark.parametrize('archs, cuda', [('', False), ('8.0', False), ('8.0;9.0+PTX', True)])
def test_operators_for_gpus_elsewhere_are_not_tried_on_this_one(archs, cuda, monkeypatch):
    monkeypatch.setattr(mmcv_fit.torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(mmcv_fit.torch.cuda, 'get_device_capability', lambda: (9, 0))
    assert mmcv_fit.devices(archs) == ['cpu'] + ['cuda'] * cuda


def test_two_set_ups_compile_it_once(compiler, places):
    _, calls, ends = compiler
    python, _, _ = places
    started, go_on = threading.Event(), threading.Event()
    ends += [started.set, lambda: go_on.wait(60)]
    threads = [threading.Thread(target=get_wheel, args=[python]) for _ in range(2)]
    threads[0].start()
    assert started.wait(60)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert get_wheel(python).read_text() == 'whole' and len(calls) == 1


def test_a_stopped_compilation_leaves_no_wheel(compiler):
    cache, calls, ends = compiler

    def interrupt():
        raise KeyboardInterrupt

    ends.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        get_wheel()
    assert not list(cache.rglob('*.whl'))
    # a process that is killed cannot tidy up
    killed = cache / f'{mmcv_wheel.wheel_key(*WHEEL)}.1.tmp'
    (killed / 'wheel').mkdir(parents=True)
    (killed / 'wheel/mmcv.whl').write_text('half')
    ends.clear()
    assert get_wheel().read_text() == 'whole'
    assert len(calls) == 2 and not killed.exists()
