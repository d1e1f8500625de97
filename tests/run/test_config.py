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


def test_a_module_of_custom_imports_that_python_does_not_find(tmp_path, monkeypatch):
    path = _config(tmp_path, "custom_imports = dict(imports=['sparx_mm', 'my_mixers'])")
    start = f'config {path} cannot be read: custom_imports: '
    with pytest.raises(UserError) as error:
        load_config(path)
    assert str(error.value) == (
        f'{start}there is no module my_mixers; install it, or put PYTHONPATH=FOLDER of its '
        'folder before the command'
    )
    (tmp_path / 'my_mixers.py').write_text('from sparx_mm import no_such_mixer')
    remedy = f'; it is in {tmp_path}: put PYTHONPATH={tmp_path} before the command'
    with pytest.raises(UserError, match=f'{remedy}$'):
        load_config(path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r'put PYTHONPATH=\. before the command$'):
        load_config('some.py')
    # as the remedy does
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="custom_imports: cannot import name 'no_such_mixer'"):
        load_config(path)
    (tmp_path / 'my_mixers.py').write_text('')
    load_config(path)


def test_missing_config(tmp_path):
    with pytest.raises(UserError, match=f'no config file {tmp_path}/none.py'):
        load_config(f'{tmp_path}/none.py')
    for name in ('mask_rcnn_sparx_t_3x', 'configs/mmdet/mask_rcnn_sparx_t_3x.py'):
        hint = r'; did you mean sparx_mm::mask_rcnn_sparx_t_3x\?$'
        with pytest.raises(UserError, match=hint):
            load_config(f'{tmp_path}/{name}')


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
