"""Mistakes in a config end in one line, wherever they are found; bugs keep their type."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from archs import PICO
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from sparx_mm.errors import UserError
from sparx_mm.run.mistakes import config_errors, first_step_errors

pytestmark = pytest.mark.stack


@pytest.mark.tries('a mistake in the config')
@pytest.mark.parametrize(
    'cfg,message',
    [
        (dict(type='SparXMambo'), '^config: model.backbone: KeyError: SparXMambo is not in the'),
        (dict(type='SparXMamba', depth=3), "unexpected keyword argument 'depth'"),
        (dict(type='SparXMamba', arch='huge'), "^config: model.backbone: .*'huge'.*'tiny'"),
        (dict(type='SparXMamba', drop_path_rate=2), 'drop_path_rate'),
        (dict(depth=3), '^config: model.backbone: KeyError: .*must contain the key "type"'),
        (dict(type=3), '^config: model.backbone: TypeError: type must be a str'),
    ],
)
def test_mistakes_in_a_config(cfg, message):
    with pytest.raises(UserError, match=message), config_errors(dict(model=dict(backbone=cfg))):
        MODELS.build(cfg)


@pytest.mark.tries('a mistake in the config')
def test_a_segmentor_that_names_weights_of_the_backbone_before():
    root = Path(find_spec('mmseg').origin).parent / '.mim/configs/_base_/models'
    model = Config.fromfile(root / 'fpn_r50.py').model
    model.backbone = dict(type='SparXMamba', arch=PICO)
    model.neck.in_channels = list(PICO['embed_dims'])
    init_default_scope('mmseg')
    with (
        pytest.raises(UserError, match="'pretrained'; name the backbone's weights in its init_cfg"),
        config_errors(dict(model=model.to_dict())),
    ):
        MODELS.build(model)
    MODELS.build({**model, 'pretrained': None, 'backbone': dict(type='SparXMamba', arch=PICO)})


def _raise(code, module):
    exec(compile(code, f'/lib/site-packages/{module}.py', 'exec'), dict(__name__=module))


@pytest.mark.parametrize(
    'code,line',
    [
        ("raise AssertionError('two folders')", 'two folders'),
        ('assert False', 'AssertionError in mmpretrain.py, line 1'),
        ("raise KeyError('img')", 'KeyError: img'),
        ("raise ImportError('install it')", 'install it'),
        ('dict(a=1).b', "AttributeError: 'dict' object has no attribute 'b'"),
        ("raise ValueError('x' * 200 + ' ' + 'y' * 300)", f'{"x" * 200} ...'),
        ("raise RuntimeError('two\\n  lines')", 'two lines'),
    ],
)
def test_what_other_packages_raise(code, line):
    with pytest.raises(UserError) as error, config_errors({}):
        _raise(code, 'mmpretrain')
    assert str(error.value) == f'config: {line}'


@pytest.mark.parametrize('code', ["raise KeyError('x')", "raise ValueError('x')", 'assert False'])
def test_bugs_keep_their_type(code):
    with pytest.raises((KeyError, ValueError, AssertionError)) as error, config_errors({}):
        _raise(code, 'sparx_mm.layers.ffn')
    assert not isinstance(error.value, UserError)
    with pytest.raises(UserError, match='^mine$'), config_errors({}):
        raise UserError('mine')


def _runner():
    return SimpleNamespace(hooks=[])


@pytest.mark.tries('a mistake in the config')
def test_the_first_step():
    runner = _runner()
    with pytest.raises(UserError) as error, first_step_errors(runner, 'training fails'):
        _raise('assert False', 'mmdet')
    assert str(error.value) == (
        'training fails: AssertionError in mmdet.py, line 1; raised in '
        'mmdet.py, line 1 (SPARX_MM_TRACEBACK=1 in the environment shows the traceback)'
    )
    assert runner.hooks == []


@pytest.mark.parametrize(
    'text,remedy',
    [
        ('The image size in a batch should be the same.', 'test_dataloader.batch_size=1'),
        ('stack expects each tensor to be equal size, but', 'give model.data_preprocessor.size'),
        ('Expected more than 1 value per channel when training', 'train_dataloader.drop_last=True'),
        ('Target 59 is out of bounds.', 'CheckSegMap'),
        ('If the mean has 3 values, the input', "give color_type='color'"),
    ],
)
def test_remedies(text, remedy):
    with (
        pytest.raises(UserError, match=text) as error,
        first_step_errors(_runner(), 'training fails'),
    ):
        _raise(f'raise IndexError({text!r})', 'torch')
    assert remedy in str(error.value)


class _Broken(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, i):
        _raise("raise KeyError('gt_sem_seg')", 'mmseg')


@pytest.mark.tries('a mistake in the config')
def test_what_a_worker_raises():
    loader = torch.utils.data.DataLoader(_Broken(), num_workers=1)
    with pytest.raises(UserError) as error, first_step_errors(_runner(), 'training fails'):
        next(iter(loader))
    assert str(error.value).startswith(
        "training fails: KeyError: 'gt_sem_seg'; raised in mmseg.py, line 1"
    )


@pytest.mark.tries('a mistake in a later training step')
def test_what_is_left_as_it_is():
    for code, module in (
        ('assert False', 'sparx_mm.layers'),
        ("raise RuntimeError('[gloo/transport] Connection closed by peer')", 'torch'),
    ):
        with pytest.raises((AssertionError, RuntimeError)), first_step_errors(_runner(), 'x'):
            _raise(code, module)
    runner = _runner()
    with pytest.raises(AssertionError), first_step_errors(runner, 'training fails'):
        # an iteration is over
        runner.hooks[0].after_train_iter(runner, 0)
        _raise('assert False', 'mmdet')


@pytest.mark.slow
def test_the_traceback_is_shown_when_asked_for():
    code = (
        'from sparx_mm.errors import UserError, user_errors\n'
        'with user_errors():\n'
        "    raise UserError('short') from KeyError('cause')\n"
    )
    for value in ('', '1'):
        env = dict(SPARX_MM_TRACEBACK=value)
        done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=env)
        assert done.returncode == 1 and done.stderr.splitlines()[-1] == 'error: short'
        assert ('KeyError' in done.stderr) is bool(value)
