"""Names and shapes of VMamba files, to and from own ones."""

import pytest
import torch
import torch.nn.functional as F
import vmamba_files

from sparx_mm.state_dicts import VMAMBA, flatten_model, nest_model

HEAD = {'neck.norm.weight', 'neck.norm.bias', 'head.fc.weight', 'head.fc.bias'}
# own names within a layer, of VMamba and of vanilla VMamba
MIXER = {'x_proj_weight', 'dt_weight', 'dt_bias', 'A_log', 'D'} | {
    f'{part}.weight' for part in ('conv', 'norm', 'out_proj')
}
LAYER = {
    f'{part}.{kind}'
    for part in ('norm1', 'norm2', 'ffn.fc1', 'ffn.fc2')
    for kind in ('weight', 'bias')
}


@pytest.mark.parametrize('file', vmamba_files.FILES)
@pytest.mark.parametrize('prefix', ['', 'backbone.', 'model.a.'])
def test_every_name_has_an_own_one_and_back(file, prefix):
    names = [name for name in vmamba_files.shapes(file) if not name.startswith('classifier.')]
    own = VMAMBA.own_names(names)
    assert own.keys() == set(names) and len(set(own.values())) == len(names)
    tops = {name.split('.')[0] for name in own.values()}
    assert tops == {'stem', 'stages', 'downsamples'} | ({'norms'} if 'det' in file else set())
    assert VMAMBA.released_names(own.values()) == {new: old for old, new in own.items()}
    values = {prefix + name: i for i, name in enumerate(names)}
    translated = VMAMBA.to_own(values, prefix)
    assert list(translated.values()) == list(values.values())
    # a second translation finds nothing left to do
    assert VMAMBA.to_own(translated, prefix) == translated
    assert VMAMBA.to_released(translated, prefix) == values


def test_own_names():
    tiny, vanilla = (
        VMAMBA.own_names(vmamba_files.shapes(f'det_{v}')).values() for v in ('t', 't_v0')
    )
    start = 'stages.2.layers.1.'
    layer = {name[len(start) :] for name in tiny if name.startswith(start)}
    mixer = {f'mixer.{name}' for name in MIXER} | {'mixer.norm.bias'}
    assert layer == LAYER | mixer | {'proj.weight'}
    v0 = {name[len(start) :] for name in vanilla if name.startswith(start)}
    assert v0 == mixer | {'proj.weight', 'mixer.conv.bias', 'norm1.weight', 'norm1.bias'}

    def rest(names):
        return {name.rpartition('.')[0] for name in names if not name.startswith('stages.')}

    norms = {f'norms.{i}' for i in range(4)}
    assert rest(tiny) == norms | {f'stem.{i}' for i in (0, 1, 3, 4)} | {
        f'downsamples.{i}.{j}' for i in range(3) for j in (0, 1)
    }
    assert rest(vanilla) == norms | {'stem.proj', 'stem.norm'} | {
        f'downsamples.{i}.{part}' for i in range(3) for part in ('norm', 'reduction')
    }


@pytest.mark.parametrize('file', ['cls_t', 'cls_t_s2l5', 'det_t_v0'])
def test_shapes_and_back_bit_by_bit(file):
    released = vmamba_files.weights(file, stages=3)
    own = VMAMBA.to_own(released)
    for name, value in own.items():
        if name.endswith('x_proj_weight'):
            assert value.dim() == 3 and value.shape[2] == 1
        elif name.endswith(('proj.weight', 'fc1.weight', 'fc2.weight', 'reduction.weight')):
            assert value.dim() == 4
    back = VMAMBA.to_released(own)
    assert list(back) == list(released)
    for name, value in released.items():
        assert back[name].shape == value.shape and back[name].equal(value), name
    again = VMAMBA.to_own(own)
    assert all(again[name] is value for name, value in own.items())


def test_only_patch_merging_has_another_order():
    released = vmamba_files.weights('det_t_v0', stages=2)
    names = VMAMBA.own_names(released)
    own = VMAMBA.to_own(released)
    for name, value in released.items():
        same = own[names[name]].flatten().equal(value.flatten())
        assert same == ('.downsample.' not in name), name


def test_patch_merging():
    x = torch.rand(1, 3, 4, 6)
    weight, scale = torch.rand(5, 12), torch.rand(12)
    # row parity fastest
    joined = torch.cat([x[:, :, dy::2, dx::2] for dx in (0, 1) for dy in (0, 1)], 1)
    expected = F.conv2d(joined * scale.view(-1, 1, 1), weight[:, :, None, None])
    released = {
        'layers.0.downsample.norm.weight': scale,
        'layers.0.downsample.reduction.weight': weight,
    }
    conv = {**released, 'layers.0.downsample.reduction.weight': weight[:, :, None, None]}
    for given in (released, conv):
        own = VMAMBA.to_own(given)
        x_own = F.pixel_unshuffle(x, 2) * own['downsamples.0.norm.weight'].view(-1, 1, 1)
        torch.testing.assert_close(F.conv2d(x_own, own['downsamples.0.reduction.weight']), expected)


def test_convolutions_are_accepted_for_linear_layers():
    released = vmamba_files.weights('det_t_s2l5', stages=2)
    convs = {
        name: value[:, :, None, None]
        if value.dim() == 2 and name.endswith(('proj.weight', 'fc1.weight', 'fc2.weight'))
        else value
        for name, value in released.items()
    }
    own, expected = VMAMBA.to_own(convs), VMAMBA.to_own(released)
    assert sum(convs[name].dim() == 4 for name in convs) > 10
    assert all(own[name].equal(value) for name, value in expected.items())


def test_the_newest_codes_names():
    released = vmamba_files.weights('det_t', stages=2)
    newest = {}
    for name, value in released.items():
        if name.endswith('.x_proj_weight'):
            name, value = name.replace('x_proj_weight', 'x_proj.weight'), value.flatten(0, 1)
        elif name.endswith('.dt_projs_weight'):
            name, value = name.replace('dt_projs_weight', 'dt_projs.weight'), value.flatten(0, 1)
        newest[name] = value
    assert newest.keys() != released.keys()
    own, expected = VMAMBA.to_own(newest), VMAMBA.to_own(released)
    assert own.keys() == expected.keys()
    assert all(own[name].equal(value) for name, value in expected.items())


@pytest.mark.parametrize('file', [file for file in vmamba_files.FILES if file.endswith('v0')])
def test_the_first_names_of_v0(file):
    released = dict.fromkeys(vmamba_files.shapes(file))
    old = dict.fromkeys(vmamba_files.old_names(released).values())
    assert not old.keys() & {name for name in released if '.blocks.' in name}
    own, expected = (nest_model(VMAMBA.to_own(names), VMAMBA) for names in (old, released))
    assert own == expected
    assert VMAMBA.to_released(flatten_model(own, VMAMBA)).keys() == released.keys()


@pytest.mark.parametrize('file', vmamba_files.ARCHS.values())
def test_classifiers(file):
    flat = {name: name for name in vmamba_files.shapes(file)}
    nested = nest_model(flat, VMAMBA)
    assert list(nested.values()) == list(flat)
    assert {name for name in nested if not name.startswith('backbone.')} == HEAD
    assert nested['neck.norm.weight'] == 'classifier.norm.weight'
    assert nested['head.fc.bias'] == 'classifier.head.bias'
    assert flatten_model(nested, VMAMBA) == flat
    assert nest_model(nested, VMAMBA) == nested


@pytest.mark.parametrize('value', [torch.ones(()), torch.ones(3, 5, 7, 2), 'text', None])
def test_no_value_is_an_error(value):
    names = {name for file in vmamba_files.FILES for name in vmamba_files.shapes(file)}
    own = VMAMBA.to_own(dict.fromkeys(names, value))
    assert all(found is value for found in VMAMBA.to_released(own).values())
