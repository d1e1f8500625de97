"""Reading configs, and telling mistakes in them from bugs."""

import pytest
from mmengine.registry import MODELS

from sparx_mm.errors import UserError
from sparx_mm.run import load_config
from sparx_mm.run.config import config_errors

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


@pytest.mark.parametrize(
    'cfg,message',
    [
        (dict(type='SparXMambo'), 'SparXMambo is not in the'),
        (dict(type='SparXMamba', depth=3), "unexpected keyword argument 'depth'"),
        (dict(type='SparXMamba', arch='huge'), "'huge'.*'tiny'"),
        (dict(type='SparXMamba', drop_path_rate=2), 'drop_path_rate'),
    ],
)
def test_mistakes_in_a_config(cfg, message):
    with pytest.raises(UserError, match=message), config_errors(cfg):
        MODELS.build(cfg)


def test_what_a_data_set_of_mmpretrain_says_of_its_folders():
    name = 'mmpretrain.datasets.custom'
    for raised in (
        'AssertionError("two folders")',
        'RuntimeError("two folders")',
        'ValueError("no label")',
        'KeyError("bug")',
    ):
        code = compile(f'raise {raised}', 'custom.py', 'exec')
        kind = KeyError if 'bug' in raised else UserError
        with pytest.raises(kind), config_errors(dict()):
            exec(code, dict(__name__=name))
    with pytest.raises(AssertionError), config_errors(dict()):
        exec('assert False', dict(__name__='mmpretrain.models'))


def test_bugs_keep_their_type():
    wrong_call = TypeError("f() got an unexpected keyword argument 'depth'")
    for error in (KeyError('x'), wrong_call, ValueError('x')):
        with pytest.raises(type(error)), config_errors(dict(a=dict(b=1))):
            raise error
