"""--compile reaches the backbones and nothing else, or says in one line why it does not."""

import pytest
from mmengine.config import Config
from small_run import Net
from torch import nn

from sparx_mm.errors import UserError
from sparx_mm.run import compile_backbones
from sparx_mm.run.compilation import check_compile


def compiled(model):
    """Names of the modules that are compiled, as a whole or from the projection on."""
    return [
        name
        for name, module in model.named_modules()
        if module._compiled_call_impl or getattr(module, '_compiled_mix', None)
    ]


def test_heads_stay_as_they_are():
    model = nn.ModuleDict(dict(student=Net(), teacher=Net()))
    assert compile_backbones(model) == ['student.backbone', 'teacher.backbone']
    names = compiled(model)
    assert len(names) == 16
    assert all('.backbone.stages.' in name for name in names)


def test_a_backbone_alone():
    backbone = Net().backbone
    assert compile_backbones(backbone) == ['']
    assert len(compiled(backbone)) == 8


def test_a_backbone_of_another_library():
    model = nn.ModuleDict(dict(backbone=nn.Sequential(nn.Conv2d(3, 3, 1)), neck=nn.Identity()))
    assert compile_backbones(model) == ['backbone']
    assert compiled(model) == ['backbone']


def test_a_model_without_a_backbone():
    with pytest.raises(UserError, match='Linear has no module named backbone'):
        compile_backbones(nn.Linear(2, 2))


@pytest.mark.tries('--compile without a C++ compiler')
@pytest.mark.parametrize(
    'config, message',
    [
        (dict(compile=True), 'compiles the whole model.*--cfg-options compile=False'),
        (dict(strategy=dict(type='FSDPStrategy')), 'too late for --compile'),
    ],
)
def test_what_cannot_be_compiled(config, message):
    with pytest.raises(UserError, match=message):
        check_compile(Config(config))


@pytest.mark.tries('--compile without a C++ compiler')
def test_no_compiler(monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cpu')
    monkeypatch.setattr(config.cpp, 'cxx', ('/no/compiler',))
    with pytest.raises(UserError, match='--compile needs a C.. compiler .* install g..'):
        check_compile(Config())
    # code for a GPU is made without one
    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cuda')
    check_compile(Config(dict(compile=False)))
