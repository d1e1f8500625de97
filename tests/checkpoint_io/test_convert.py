"""Checkpoints are renamed and rewritten bit by bit, both ways."""

import hashlib

import parity
import pytest
import torch
from archs import PICO, PICO_GROUPMAMBA, PICO_VMAMBA, PICO_VSSD, learnable
from hostile import Runs, touch
from safetensors import safe_open
from torch import nn

from sparx_mm import VSSD, GroupMamba, SparXMamba, VMamba
from sparx_mm.checkpoint_io import convert_checkpoint, read_checkpoint, schemes
from sparx_mm.checkpoint_io.download import known_hash
from sparx_mm.errors import UserError
from sparx_mm.model_index import weights_url
from sparx_mm.necks import ClassBlock
from sparx_mm.state_dicts import GROUPMAMBA, SPARX, VMAMBA, flatten_model
from sparx_mm.state_dicts import VSSD as KEY_MAP

ENDINGS = ('.pth', '.safetensors')


def weights_of(path):
    return read_checkpoint(str(path))['state_dict']


def bits(state_dict):
    """Names, types, shapes and bytes."""
    return {
        name: (value.dtype, value.shape, value.numpy().tobytes())
        for name, value in state_dict.items()
    }


@pytest.fixture
def convert(tmp_path):
    """Convert a file of the test's folder into another one of it."""

    def convert(source, target, *args):
        return convert_checkpoint(str(tmp_path / source), str(tmp_path / target), *args)

    return convert


@pytest.mark.slow
@pytest.mark.parametrize('flavour,variant', parity.LAYOUTS)
def test_released_layouts_round_trip(convert, tmp_path, flavour, variant):
    released = parity.released_state(flavour, variant)
    torch.save(released, tmp_path / 'a.pth')
    convert('a.pth', 'own.safetensors')
    own = weights_of(tmp_path / 'own.safetensors')
    arch = parity.ARCHS[variant]
    with torch.device('meta'):
        model = SparXMamba(learnable(arch) if flavour == 'det' else arch)
    expected = model.state_dict().keys()
    if flavour == 'cls':
        expected = {k for k in expected if not k.startswith('norms.')} | {
            k for k in released if k.startswith('classifier.')
        }
    assert own.keys() == expected
    convert('own.safetensors', 'back.pth', 'released')
    back = torch.load(tmp_path / 'back.pth', weights_only=True)
    assert bits(back) == bits(released)


def test_a_classifier_for_mmpretrain_and_back(convert, tmp_path):
    released = parity.released_state('cls', 't')
    torch.save(dict(model=released), tmp_path / 'a.pth')
    with pytest.raises(UserError, match='of mmpretrain: give --to mmpretrain'):
        convert('a.pth', 'whole.pth', 'mmseg')
    line = convert('a.pth', 'whole.pth', 'mmpretrain')
    assert 'mmpretrain names' in line and "'backbone.'" in line
    whole = weights_of(tmp_path / 'whole.pth')
    assert {k for k in whole if not k.startswith('backbone.')} == {
        'neck.norm.weight',
        'neck.norm.bias',
        'head.fc.weight',
        'head.fc.bias',
    }
    assert 'backbone.stem.0.weight' in whole
    convert('whole.pth', 'back.pth', 'released')
    assert bits(weights_of(tmp_path / 'back.pth')) == bits(released)


@pytest.mark.parametrize('via', ENDINGS)
@pytest.mark.parametrize('prefix', ['', 'backbone.', 'model.backbone.'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_formats_round_trip(convert, tmp_path, via, prefix, dtype):
    model = SparXMamba(PICO).to(dtype)
    own = {prefix + k: v for k, v in model.state_dict().items()}
    own['neck.weight'] = torch.rand(3, 4).t()
    torch.save(own, tmp_path / 'own.pth')
    line = convert('own.pth', f'released{via}', 'released')
    assert repr(prefix) in line and '\n' not in line
    released = weights_of(tmp_path / f'released{via}')
    assert f'{prefix}patch_embed.0.weight' in released
    assert 'neck.weight' in released
    convert(f'released{via}', 'back.pth')
    back = weights_of(tmp_path / 'back.pth')
    assert back.keys() == own.keys()
    for name, value in back.items():
        assert value.dtype == own[name].dtype and value.equal(own[name])


@pytest.mark.parametrize('kind', ENDINGS)
def test_publishes(convert, tmp_path, kind):
    model = SparXMamba(PICO)
    meta = dict(dataset_meta=dict(classes=('a', 'b')), epoch=3, cfg='work_dir = "/home/me"', seed=7)
    training = dict(optimizer=dict(state={}), message_hub={}, param_schedulers=[])
    torch.save(dict(training, meta=meta, state_dict=model.state_dict()), tmp_path / 'epoch_3.pth')
    line = convert('epoch_3.pth', f'mine{kind}', 'own', True)
    (path,) = tmp_path.glob('mine*')
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert path.name == f'mine-{digits}{kind}' and line.startswith(f'{path}: own names')
    assert 'left out: ' in line and 'message_hub, ' in line and 'optimizer, ' in line
    # as a download is
    assert kind != '.pth' or known_hash(f'https://a.org/{path.name}') == digits
    assert bits(weights_of(path)) == bits(model.state_dict())
    if kind == '.pth':
        published = torch.load(path, weights_only=True)
        assert published.keys() == {'meta', 'state_dict'}
        assert published['meta'] == dict(dataset_meta=dict(classes=('a', 'b')), epoch=3)


def vmamba_classifier(version, dtype=torch.float32):
    """The weights of a small VMamba as a released classifier has them."""
    arch = dict(PICO_VMAMBA) if version == 'v2' else dict(PICO_VMAMBA, base='tiny-v0')
    weights = VMAMBA.to_released(VMamba(arch).to(dtype).state_dict())
    released = {k: v for k, v in weights.items() if not k.startswith('outnorm')}
    for name, shape in dict(norm=(40,), head=(9, 40)).items():
        released[f'classifier.{name}.weight'] = torch.rand(shape, dtype=dtype)
        released[f'classifier.{name}.bias'] = torch.rand(shape[0], dtype=dtype)
    return released


@pytest.mark.parametrize('version', ['v2', 'v0'])
@pytest.mark.parametrize('to', ['own', 'mmpretrain'])
@pytest.mark.parametrize('via', ENDINGS)
def test_vmamba_round_trips(convert, tmp_path, version, to, via):
    released = vmamba_classifier(version)
    torch.save(dict(model=released), tmp_path / 'a.pth')
    convert('a.pth', f'b{via}', to)
    own = weights_of(tmp_path / f'b{via}')
    prefix, head = ('', 'classifier.head') if to == 'own' else ('backbone.', 'head.fc')
    assert own[f'{head}.weight'].shape == (9, 40)
    assert own[f'{prefix}stages.0.layers.0.proj.weight'].dim() == 4
    assert not any('layers.0.blocks' in name for name in own)
    convert(f'b{via}', 'back.pth', 'released')
    assert bits(weights_of(tmp_path / 'back.pth')) == bits(released)


@pytest.mark.parametrize('base', ['tiny', 'tiny-iccv'])
@pytest.mark.parametrize('to', ['own', 'mmpretrain'])
@pytest.mark.parametrize('via', ENDINGS)
def test_vssd_round_trips(convert, tmp_path, base, to, via):
    """A classifier's linear weights have two dimensions there, and four here."""
    model = VSSD(dict(PICO_VSSD, base=base, out_norm=None))
    released = KEY_MAP.to_released(model.state_dict())
    for name, shape in dict(norm=(40,), head=(9, 40)).items():
        released[f'{name}.weight'], released[f'{name}.bias'] = (
            torch.rand(shape),
            torch.rand(shape[0]),
        )
    torch.save(dict(model=released), tmp_path / 'a.pth')
    convert('a.pth', f'b{via}', to)
    own = weights_of(tmp_path / f'b{via}')
    prefix, head = ('', 'head') if to == 'own' else ('backbone.', 'head.fc')
    assert own[f'{head}.weight'].shape == (9, 40)
    for stage in (0, 3):
        assert own[f'{prefix}stages.{stage}.layers.0.proj.weight'].dim() == 4
    assert not any('layers.0.blocks' in name for name in own)
    convert(f'b{via}', 'back.pth', 'released')
    assert bits(weights_of(tmp_path / 'back.pth')) == bits(released)


@pytest.mark.parametrize('to', ['own', 'mmpretrain'])
@pytest.mark.parametrize('via', ENDINGS)
def test_groupmamba_round_trips(convert, tmp_path, to, via):
    """Four tensors of a file are one here, in the class block too."""
    arch = dict(PICO_GROUPMAMBA, out_norm=(dict(), dict(), dict(), None))
    nested = nn.ModuleDict(dict(backbone=GroupMamba(arch), neck=ClassBlock(40))).state_dict()
    for layer in ('fc', 'fc_dist'):
        nested[f'head.{layer}.weight'] = torch.rand(9, 40)
        nested[f'head.{layer}.bias'] = torch.rand(9)
    flat = GROUPMAMBA.to_released(nested, 'backbone.')
    released = flatten_model(flat, GROUPMAMBA)
    assert released['block4.1.attn.mamba_g3.in_proj.weight'].shape == (20, 10)
    assert released['post_network.0.attn.mamba_g3.Ds'].shape == (10,)
    torch.save(released, tmp_path / 'a.pth')
    convert('a.pth', f'b{via}', to)
    own = weights_of(tmp_path / f'b{via}')
    if to == 'mmpretrain':
        assert bits(own) == bits(nested)
    assert not any('block4' in name for name in own)
    convert(f'b{via}', 'back.pth', 'released')
    assert bits(weights_of(tmp_path / 'back.pth')) == bits(released)


def test_sources_are_those_of_a_reader(tmp_path, monkeypatch):
    torch.save(SparXMamba(PICO).state_dict(), tmp_path / 'fetched.pth')
    asked = []
    monkeypatch.setattr(
        schemes, 'fetch', lambda url: asked.append(url) or str(tmp_path / 'fetched.pth')
    )
    for i, source in enumerate(('sparx_mm://vssd_m_in1k', 'https://example.org/a.pth')):
        convert_checkpoint(source, str(tmp_path / f'{i}.pth'))
        assert bits(weights_of(tmp_path / f'{i}.pth')) == bits(weights_of(tmp_path / 'fetched.pth'))
    assert asked == [weights_url('vssd_m_in1k'), 'https://example.org/a.pth']
    with pytest.raises(UserError, match='no config or model .* did you mean'):
        convert_checkpoint('sparx_mm://vssd_m_in1', str(tmp_path / 'b.pth'))
    with pytest.raises(UserError, match='none.pth'):
        convert_checkpoint(str(tmp_path / 'none.pth'), str(tmp_path / 'b.pth'))


def test_vssd_without_its_mark_is_told_by_its_names(convert, tmp_path):
    weights = VSSD(dict(PICO_VSSD, ffn_dpe=False)).state_dict()
    torch.save(weights, tmp_path / 'own.pth')
    convert('own.pth', 'released.pth', 'released')
    assert weights_of(tmp_path / 'released.pth').keys() == KEY_MAP.to_released(weights).keys()


def test_vmamba_is_told_from_sparx_by_own_names(convert, tmp_path):
    """The names of v0 have no mark of their own."""
    for arch in (dict(PICO_VMAMBA), dict(PICO_VMAMBA, base='tiny-v0')):
        weights = VMamba(arch).state_dict()
        torch.save({f'backbone.{k}': v for k, v in weights.items()}, tmp_path / 'own.pth')
        convert('own.pth', 'released.pth', 'released')
        released = weights_of(tmp_path / 'released.pth')
        assert released.keys() == {f'backbone.{k}' for k in VMAMBA.to_released(weights)}
        (tmp_path / 'released.pth').unlink()


@pytest.mark.parametrize('to', ['mmpretrain', 'released'])
def test_a_classifier_that_is_averaged(convert, tmp_path, to):
    """Both of its models are renamed as a whole."""
    own = {
        **{f'backbone.{k}': v for k, v in SparXMamba(PICO).state_dict().items()},
        **{f'{k}.weight': torch.rand(3) for k in ('neck.norm', 'head.fc')},
    }
    flat = SPARX.to_released(flatten_model(own, SPARX))
    assert 'classifier.3.weight' in flat and 'patch_embed.0.weight' in flat
    given, expected = (flat, own) if to == 'mmpretrain' else (own, flat)
    ema = {f'module.{k}': v for k, v in given.items()}
    torch.save(
        dict(state_dict=given, ema_state_dict=dict(ema, steps=torch.tensor(5))), tmp_path / 'a.pth'
    )
    convert('a.pth', 'b.pth', to)
    found = torch.load(tmp_path / 'b.pth', weights_only=True)
    assert found['state_dict'].keys() == expected.keys()
    averaged = found['ema_state_dict']
    assert averaged.pop('steps') == 5
    assert averaged.keys() == {f'module.{k}' for k in expected}
    assert all(averaged[f'module.{k}'].equal(v) for k, v in expected.items())


def test_own_names_stay(convert, tmp_path):
    own = SparXMamba(PICO).state_dict()
    torch.save(own, tmp_path / 'own.pth')
    convert('own.pth', 'again.pth')
    again = weights_of(tmp_path / 'again.pth')
    assert list(again) == list(own) and bits(again) == bits(own)


def test_a_training_checkpoint_keeps_the_rest(convert, tmp_path):
    weights = SPARX.to_released(SparXMamba(PICO).state_dict())
    averaged = {f'module.backbone.{k}': v + 1 for k, v in weights.items()}
    checkpoint = dict(
        meta=dict(epoch=3, cfg='import os'),
        state_dict={f'backbone.{k}': v for k, v in weights.items()},
        ema_state_dict=dict(averaged, steps=torch.tensor(5)),
        optimizer=dict(state={}, param_groups=[]),
    )
    torch.save(checkpoint, tmp_path / 'a.pth')
    convert('a.pth', 'b.pth')
    found = torch.load(tmp_path / 'b.pth', weights_only=True)
    assert found.keys() == checkpoint.keys()
    assert found['meta'] == dict(epoch=3)
    assert found['optimizer'] == checkpoint['optimizer']
    name = 'stages.0.layers.0.mixer.A_log'
    released = weights['layers.0.blocks.0.op.A_logs']
    assert found['state_dict'][f'backbone.{name}'].equal(released)
    ema = found['ema_state_dict']
    assert ema['steps'] == 5
    assert ema[f'module.backbone.{name}'].equal(released + 1)
    line = convert('a.pth', 'b.safetensors')
    assert 'left out: ema_state_dict, meta, optimizer' in line
    with safe_open(tmp_path / 'b.safetensors', 'pt') as file:
        assert file.metadata() == dict(format='pt')
        assert len(list(file.keys())) == len(weights)


@pytest.mark.parametrize(
    'source,target,to,message',
    [
        ('a.pth', 'b.txt', 'own', 'must end in .pth, .pt or .safetensors'),
        ('a.pth', 'b.pth', 'theirs', "one of .*'released'.*, got 'theirs'"),
        ('a.pth', 'there.pth', 'own', 'is there already'),
        ('a.pth', 'a.pth', 'own', 'is there already'),
        ('none.pth', 'b.pth', 'own', 'none.pth does not exist'),
        (
            'other.pth',
            'b.pth',
            'own',
            'no SparX, VMamba, .* or VM-UNet backbone; its tensors are weight',
        ),
        ('a.pth', 'none/b.pth', 'own', 'cannot be written'),
        ('a.pth', 'none/b.safetensors', 'own', 'cannot be written'),
    ],
)
def test_mistakes(convert, tmp_path, source, target, to, message):
    torch.save(SparXMamba(PICO).state_dict(), tmp_path / 'a.pth')
    torch.save(nn.Linear(1, 1).state_dict(), tmp_path / 'other.pth')
    (tmp_path / 'there.pth').write_text('kept')
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(UserError, match=message):
        convert(source, target, to)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize('ending', ENDINGS)
def test_other_files_stay(convert, tmp_path, ending):
    torch.save(SparXMamba(PICO).state_dict(), tmp_path / 'a.pth')
    (tmp_path / f'b{ending}.partial').write_text('kept')
    convert('a.pth', f'b{ending}')
    assert (tmp_path / f'b{ending}.partial').read_text() == 'kept'
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {'a.pth', f'b{ending}', f'b{ending}.partial'}
    assert (tmp_path / f'b{ending}').stat().st_mode == (tmp_path / 'a.pth').stat().st_mode


def test_hostile_files_are_refused(convert, tmp_path):
    trace = tmp_path / 'trace'
    weights = SparXMamba(PICO).state_dict()
    torch.save(dict(state_dict=weights, x=Runs(eval, touch(trace))), tmp_path / 'a.pth')
    with pytest.raises(UserError, match='would run code'):
        convert('a.pth', 'b.pth')
    assert not trace.exists() and not (tmp_path / 'b.pth').exists()
