"""Reading configs."""

import pytest

from sparx_mm.errors import UserError
from sparx_mm.run import load_config

pytestmark = pytest.mark.stack


def _config(folder, text='a = dict(b=1)\nc = [1, 2]\n'):
    path = folder / 'some.py'
    path.write_text(text)
    return str(path)


def test_options_override(tmp_path):
    cfg = load_config(_config(tmp_path), {'a.b': None, 'd.e': 2})
    assert cfg.a.b is None and cfg.d.e == 2
    assert cfg.launcher == 'none'


@pytest.mark.parametrize(
    'text,given,expected',
    [
        ('', None, 'work_dirs/some'),
        ('work_dir = "there"', None, 'there'),
        ('work_dir = "there"', 'here', 'here'),
    ],
)
def test_work_dir(tmp_path, text, given, expected):
    cfg = load_config(_config(tmp_path, text), work_dir=given)
    assert cfg.work_dir == expected


@pytest.mark.parametrize(
    'text,message',
    [
        ('a = dict(', 'line 1: '),
        ('a = 1\nb = undefined\n', "line 2: name 'undefined' is not defined"),
        ('_base_ = "./none.py"', 'none.py'),
        (
            'custom_imports = dict(imports=["no_such_module"], allow_failed_imports=False)',
            'no_such_module',
        ),
    ],
)
def test_broken_configs(tmp_path, text, message):
    with pytest.raises(UserError, match='some.py cannot be read') as error:
        load_config(_config(tmp_path, text))
    assert message in str(error.value)


def test_missing_config(tmp_path):
    with pytest.raises(UserError, match=f'no config file {tmp_path}/none.py'):
        load_config(f'{tmp_path}/none.py')


@pytest.mark.parametrize(
    'option',
    [
        {'c.9': 1},
        {'c.x': 1},
        {'a': dict(b=dict(c=1))},
    ],
)
def test_options_that_do_not_fit(tmp_path, option):
    with pytest.raises(UserError, match='--cfg-options do not fit'):
        load_config(_config(tmp_path), option)
