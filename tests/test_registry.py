"""Parts in a scope of their own, backbones for all."""

import pytest
import torch
from archs import (
    PICO,
    PICO_GROUPMAMBA,
    PICO_PLAINMAMBA,
    PICO_SWIN,
    PICO_VMAMBA,
    PICO_VMUNET,
    PICO_VSSD,
)
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope, Registry
from mmengine.runner import Runner
from torch import nn

import sparx_mm.engine  # noqa: F401, makes a broken torchvision importable
from sparx_mm import (
    VSSD,
    GroupMamba,
    PlainMamba,
    PlainMambaAdapter,
    SparXMamba,
    SparXSwin,
    Vim,
    VMamba,
    VMUNetEncoder,
    layers,
    mixers,
)
from sparx_mm.necks import ClassBlock, NormPooling, SimpleFeaturePyramid
from sparx_mm.registry import MODELS, build_part

pytestmark = pytest.mark.stack
FOR_ALL = (
    SparXMamba,
    SparXSwin,
    VMamba,
    VSSD,
    GroupMamba,
    PlainMamba,
    PlainMambaAdapter,
    Vim,
    VMUNetEncoder,
    ClassBlock,
    NormPooling,
    SimpleFeaturePyramid,
)


class Impostor(nn.Module):
    """What another library registers under a name of ours."""

    def __init__(self, *args, **kwargs):
        raise AssertionError('it was built')


class OwnMixer(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.in_channels = dim

    def forward(self, x):
        return x


@pytest.fixture
def other_scope():
    """A library in scope that registers names of ours, and a mixer of its own."""
    registry = Registry('model', parent=ROOT, scope='other_library')
    for name in MODELS.module_dict:
        if MODELS.get(name) not in FOR_ALL:
            registry.register_module(name, module=Impostor)
    registry.register_module(module=OwnMixer)
    with DefaultScope.overwrite_default_scope('other_library'):
        yield registry
    del ROOT._children['other_library']


def test_parts_are_registered_in_their_own_scope_alone():
    assert MODELS.scope == 'sparx_mm' and MODELS.parent is ROOT
    assert MODELS.get('MLP') is layers.MLP and MODELS.get('SSM') is mixers.SSM
    ours = {name for name, cls in MODELS.module_dict.items() if cls in FOR_ALL}
    assert ours == {cls.__name__ for cls in FOR_ALL}
    for name, cls in MODELS.module_dict.items():
        assert (ROOT.module_dict.get(name) is cls) == (name in ours), name


@pytest.mark.parametrize(
    'family, arch',
    [
        (SparXMamba, PICO),
        (SparXSwin, PICO_SWIN),
        (VMamba, PICO_VMAMBA),
        (VSSD, PICO_VSSD),
        (GroupMamba, PICO_GROUPMAMBA),
        (PlainMamba, PICO_PLAINMAMBA),
        (VMUNetEncoder, PICO_VMUNET),
    ],
)
def test_another_library_in_scope_changes_nothing(other_scope, family, arch):
    assert DefaultScope.get_current_instance().scope_name == 'other_library'
    torch.manual_seed(0)
    model = ROOT.build(dict(type=family.__name__, arch=arch))
    with DefaultScope.overwrite_default_scope('mmengine'):
        torch.manual_seed(0)
        wanted = family(arch)
    assert type(model) is family
    assert [type(m) for m in model.modules()] == [type(m) for m in wanted.modules()]
    for a, b in zip(model.parameters(), wanted.parameters(), strict=True):
        assert a.equal(b)


@pytest.mark.parametrize('name', ['SparXMamba', 'sparx_mm.SparXMamba'])
@pytest.mark.parametrize('scope', ['mmengine', 'mmdet', 'mmseg', 'mmpretrain'])
def test_a_runner_of_every_library_finds_a_backbone(scope, name, tmp_path):
    pytest.importorskip(scope)
    runner = Runner(
        model=dict(type=name, arch=PICO),
        work_dir=str(tmp_path),
        default_scope=scope,
        experiment_name=f'{scope}-{name}',
    )
    assert runner.default_scope.scope_name == scope
    assert type(runner.model) is SparXMamba


@pytest.mark.parametrize('name', ['OwnMixer', 'other_library.OwnMixer'])
def test_a_users_mixer_in_his_own_scope(other_scope, name):
    model = SparXMamba(dict(PICO, mixer=dict(type=name)))
    assert type(model.stages[0].layers[0].mixer) is OwnMixer


def test_a_users_mixer_in_the_root():
    ROOT.register_module('RootMixer', module=OwnMixer)
    try:
        model = SparXMamba(dict(PICO, mixer=dict(type='RootMixer')))
    finally:
        del ROOT.module_dict['RootMixer']
    assert type(model.stages[0].layers[0].mixer) is OwnMixer


@pytest.mark.parametrize(
    'config, message',
    [
        (dict(), 'mixer needs a type that is registered, got None: give one of .*BiSSM'),
        (dict(type='Nothing'), "got 'Nothing'"),
        (dict(type='SSM', dim=4), r"mixer SSM gets \['dim'\] from the backbone: leave them out"),
        (dict(type='SSM', width=4), r"mixer SSM takes no \['width'\]: it takes \['d_state'"),
        (dict(type='ShiftedWindowAttention'), r"needs \['num_heads'\]: give them in its config"),
    ],
)
def test_a_wrong_config_says_what_is_wrong(config, message):
    with pytest.raises(ValueError, match=message):
        build_part(config, 'mixer', dim=8)
