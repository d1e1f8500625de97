"""`init_cfg=dict(type='Pretrained', ...)`: all of the file, or an error."""

from pathlib import Path

import parity
import pytest
import torch
import vmamba_files
from archs import (
    PICO,
    PICO_GROUPMAMBA,
    PICO_PLAINMAMBA,
    PICO_SWIN,
    PICO_VMAMBA,
    PICO_VSSD,
    learnable,
)
from hostile import payloads
from mmengine.logging import MMLogger
from mmengine.model import BaseModule, PretrainedInit
from mmengine.registry import MODELS
from torch import nn
from without import run_without

from sparx_mm import (
    VSSD,
    GroupMamba,
    HierarchicalBackbone,
    PlainMamba,
    SparXMamba,
    SparXSwin,
    VMamba,
    state_dicts,
)
from sparx_mm.errors import UserError
from sparx_mm.registry import MODELS as PARTS
from sparx_mm.state_dicts import GROUPMAMBA, PLAINMAMBA, SPARX, SWIN, VMAMBA, CoverageError, fit

ROOT = Path(__file__).parents[2]
# legally absent from an ImageNet file: what only dense tasks have
DENSE_ONLY = ('norms.',)


def copied(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def pretrained(file, **kwargs):
    return dict(type='Pretrained', checkpoint=str(file), **kwargs)


@pytest.fixture
def source():
    """A small backbone whose weights are looked for."""
    return SparXMamba(PICO)


@pytest.fixture
def file(source, tmp_path):
    """Write its released state dict into a file, nested by a function."""

    def write(nest=lambda weights: weights):
        weights = SPARX.to_released(source.state_dict())
        torch.save(nest(weights), tmp_path / 'file.pth')
        return tmp_path / 'file.pth'

    return write


def linear(weights):
    """The 1x1 convolutions around mixer and FFN as linear layers."""
    ends = ('op.in_proj.weight', 'op.out_proj.weight', 'mlp.fc1.weight', 'mlp.fc2.weight')
    return {k: v.flatten(1) if k.endswith(ends) else v for k, v in weights.items()}


def is_loaded(source, model):
    own = model.state_dict()
    return all(own[k].equal(v) for k, v in source.state_dict().items())


@pytest.mark.parametrize(
    'nest,options',
    [
        (lambda w: w, {}),
        (lambda w: dict(state_dict=w, meta={}), {}),
        (lambda w: dict(model={}, model_ema=w), {}),
        (lambda w: {f'module.{k}': v for k, v in w.items()}, {}),
        (lambda w: {f'backbone.{k}': v for k, v in w.items()}, dict(prefix='backbone.')),
        (lambda w: {f'backbone.{k}': v for k, v in w.items()}, dict(prefix='backbone')),
        (lambda w: dict(model={f'module.net.{k}': v for k, v in w.items()}), dict(prefix='net.')),
        (lambda w: SPARX.to_own(w), {}),
        (linear, {}),
        (lambda w: {k: v.double() for k, v in w.items()}, dict(map_location='cpu')),
    ],
)
def test_layouts(nest, options, source, file):
    model = SparXMamba(PICO, init_cfg=pretrained(file(nest), **options))
    assert not is_loaded(source, model)
    model.init_weights()
    assert is_loaded(source, model)
    assert model.init_cfg == pretrained(file(nest), **options)


def test_plain_load_state_dict_of_linear_layers(source):
    weights = linear(SPARX.to_released(source.state_dict()))
    assert sum(v.dim() == 2 for v in weights.values()) > 8
    model = nn.ModuleDict(dict(a=SparXMamba(PICO)))
    model.load_state_dict({f'a.{k}': v for k, v in weights.items()}, strict=True)
    assert is_loaded(source, model['a'])


def test_a_family_without_released_files(source, tmp_path):
    class Mine(SparXMamba):
        key_map = HierarchicalBackbone.key_map

    torch.save(source.state_dict(), tmp_path / 'file.pth')
    model = Mine(PICO, init_cfg=pretrained(tmp_path / 'file.pth'))
    model.init_weights()
    assert is_loaded(source, model)
    torch.save(SPARX.to_released(source.state_dict()), tmp_path / 'file.pth')
    with pytest.raises(CoverageError, match='this is a SparX file, the model is Hierarchical'):
        model.__class__(PICO, init_cfg=model.init_cfg).init_weights()


def test_half_precision_files(source, file):
    half = file(lambda w: {k: v.half() for k, v in w.items()})
    model = SparXMamba(PICO, init_cfg=pretrained(half))
    model.init_weights()
    for name, value in source.state_dict().items():
        assert model.state_dict()[name].equal(value.half().to(value.dtype))


@pytest.mark.tries('weights of RGB images')
@pytest.mark.parametrize(
    'family,arch,name',
    [
        (SparXMamba, PICO, 'stem.0'),
        (SparXSwin, PICO_SWIN, 'stem.proj'),
        (VSSD, PICO_VSSD, 'stem.conv1.0'),
        (GroupMamba, PICO_GROUPMAMBA, 'stem.conv.0'),
        (PlainMamba, PICO_PLAINMAMBA, 'stem.entry.0'),
    ],
)
@pytest.mark.parametrize('channels', [1, 4, 6])
def test_weights_of_rgb_images(tmp_path, capsys, family, arch, name, channels):
    """An image of equal channels gives what it gave."""
    torch.manual_seed(0)
    rgb = family(arch).eval()
    torch.save(rgb.state_dict(), tmp_path / 'rgb.pth')
    model = family(arch, in_channels=channels, init_cfg=pretrained(tmp_path / 'rgb.pth')).eval()
    model.init_weights()
    assert f'{name}.weight: adapted from 3 image channels to {channels}' in capsys.readouterr().out
    if channels == 4:
        # an image of equal channels weighs one of the three more
        return
    gray = torch.rand(1, 1, 32, 32)
    images = [gray.expand(-1, n, -1, -1) for n in (channels, 3)]
    for found, wanted in zip(model(images[0]), rgb(images[1])):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_weights_of_other_images_are_not_adapted(tmp_path):
    torch.save(SparXMamba(PICO, in_channels=4).state_dict(), tmp_path / 'file.pth')
    with pytest.raises(CoverageError, match=r'stem.0.weight.*\(8, 4, 3, 3\)'):
        SparXMamba(PICO, init_cfg=pretrained(tmp_path / 'file.pth')).init_weights()


def test_files_come_after_other_initialisations(source, file):
    kaiming = dict(type='Kaiming', layer='Conv2d')
    for cfgs in ([kaiming, pretrained(file())], [pretrained(file()), kaiming]):
        model = SparXMamba(PICO, init_cfg=cfgs)
        model.init_weights()
        assert is_loaded(source, model) and model.init_cfg == cfgs
    alone = SparXMamba(PICO, init_cfg=kaiming)
    before = copied(alone)
    alone.init_weights()
    assert not alone.state_dict()['stem.0.weight'].equal(before['stem.0.weight'])


@pytest.mark.parametrize(
    'kind', [PretrainedInit, 'mmengine.Pretrained', 'mmengine.model.PretrainedInit']
)
def test_the_class_and_its_full_name_are_types_too(kind, source, file):
    init_cfg = dict(type=kind, checkpoint=str(file()))
    model = SparXMamba(PICO, init_cfg=init_cfg)
    model.init_weights()
    assert is_loaded(source, model)
    # in place of the same file
    file(lambda w: {k: v for k, v in w.items() if 'mlp' not in k})
    with pytest.raises(CoverageError, match='ffn'):
        SparXMamba(PICO, init_cfg=init_cfg).init_weights()


def test_a_second_call_changes_nothing(source, file):
    model = SparXMamba(PICO, init_cfg=pretrained(file()))
    model.init_weights()
    nn.init.zeros_(model.stem[0].weight)
    model.init_weights()
    assert not model.stem[0].weight.any()


def test_inside_a_model_it_is_logged_and_recorded(source, file, tmp_path):

    class Detector(BaseModule):
        def __init__(self):
            super().__init__()
            self.backbone = MODELS.build(
                dict(type='SparXMamba', arch=PICO, init_cfg=pretrained(file()))
            )

    log = tmp_path / 'log'
    MMLogger.get_instance('test', log_file=str(log))
    model = Detector()
    model.init_weights()
    assert is_loaded(source, model.backbone)
    text = log.read_text()
    count = len(source.state_dict())
    assert f'SparXMamba: {file()}: {count} of {count} tensors loaded' in text
    assert f'load from {file()}' in text.split('backbone.stem.0.weight')[1]


def test_without_a_model_around_it_the_log_is_true(source, file, tmp_path):
    for parameter in source.parameters():
        nn.init.uniform_(parameter)
    log = tmp_path / 'log'
    MMLogger.get_instance('bare', log_file=str(log))
    model = SparXMamba(PICO, init_cfg=pretrained(file()))
    model.init_weights()
    assert is_loaded(source, model)
    assert not any(hasattr(module, '_params_init_info') for module in model.modules())
    text = log.read_text()
    # once
    assert text.count('tensors loaded') == 1
    assert 'same before and after' not in text
    assert text.count(f'load from {file()}') == len(list(model.parameters()))
    # nor after a file that is not there
    model = SparXMamba(PICO, init_cfg=pretrained(str(tmp_path / 'none.pth')))
    with pytest.raises(UserError):
        model.init_weights()
    assert not any(hasattr(module, '_params_init_info') for module in model.modules())


@pytest.mark.parametrize(
    'nest,options,message',
    [
        (
            lambda w: {f'backbone.{k}': v for k, v in w.items()},
            {},
            "did you mean prefix='backbone.'",
        ),
        (lambda w: w, dict(prefix='backbone.'), 'did you mean prefix=None'),
        (
            lambda w: {k: v for k, v in w.items() if 'layers.3' not in k},
            {},
            'the file has layers and channels 1x16 2x24 3x32 by stage',
        ),
        (
            lambda w: {k: v * float('nan') for k, v in w.items()},
            {},
            'NaN or infinity in stem.*.weight',
        ),
    ],
)
def test_errors_name_the_file_and_change_nothing(nest, options, message, file):
    model = SparXMamba(PICO, init_cfg=pretrained(file(nest), **options))
    before = copied(model)
    with pytest.raises(CoverageError) as error:
        model.init_weights()
    assert str(error.value).startswith(f'{file(nest)}: ')
    assert message in str(error.value)
    assert all(before[k].equal(v) for k, v in model.state_dict().items())
    assert model.init_cfg == pretrained(file(nest), **options)


@pytest.mark.slow
@pytest.mark.parametrize('flavour, variant', parity.LAYOUTS)
def test_pretrained_loads_every_tensor(flavour, variant, tmp_path):
    file = tmp_path / f'sparx_mamba_{variant}.pth'
    released = parity.released_state(flavour, variant)
    torch.save(released, file)
    arch = parity.ARCHS[variant]
    model = SparXMamba(learnable(arch) if flavour == 'det' else arch, init_cfg=pretrained(file))
    untouched = copied(model)
    model.init_weights()
    loaded = SPARX.to_released(model.state_dict())
    for key, value in released.items():
        if not key.startswith('classifier.'):
            assert loaded.pop(key).equal(value), key
    # what the file lacks stays as it was initialised
    for key, value in SPARX.to_own(loaded).items():
        assert key.startswith(DENSE_ONLY)
        assert value.equal(untouched[key])


def convolutions(weights):
    """Linear weights as 1x1 convolutions, the others as they are."""
    return {
        k: v[:, :, None, None] if v.dim() == 2 and k.endswith('.weight') else v
        for k, v in weights.items()
    }


@pytest.mark.parametrize('change', [dict, convolutions, VMAMBA.to_own])
@pytest.mark.parametrize('version', ['v2', 'v0'])
def test_vmamba(version, change, tmp_path):
    arch = dict(PICO_VMAMBA) if version == 'v2' else dict(PICO_VMAMBA, base='tiny-v0')
    source = VMamba(arch)
    released = VMAMBA.to_released(source.state_dict())
    assert released['layers.0.blocks.0.op.in_proj.weight'].dim() == 2
    torch.save(dict(model=change(released)), tmp_path / 'file.pth')
    model = VMamba(arch, init_cfg=pretrained(tmp_path / 'file.pth'))
    assert not is_loaded(source, model)
    model.init_weights()
    assert is_loaded(source, model)
    # and without init_cfg, under a prefix
    outer = nn.ModuleDict(dict(backbone=VMamba(arch)))
    outer.load_state_dict({f'backbone.{k}': v for k, v in change(released).items()}, strict=True)
    assert is_loaded(source, outer.backbone)


@pytest.fixture(scope='module', params=vmamba_files.ARCHS)
def vmamba_arch(request):
    """An arch, its backbone without memory, and the released classifier's tensors."""
    with torch.device('meta'):
        model = VMamba(request.param)
    return request.param, model, vmamba_files.empty(vmamba_files.ARCHS[request.param])


def test_released_vmamba_files_are_whole(vmamba_arch):
    arch, model, classifier = vmamba_arch
    own = model.state_dict()
    norms = {k for k in own if k.startswith('norms.')}
    report = fit(own, classifier, VMAMBA, archs=VMamba.arch_zoo)
    assert set(report.missing) == norms and len(norms) == 8
    assert report.weights.keys() == own.keys() - norms and not report.reshaped
    assert set(report.unused) == {k for k in classifier if k.startswith('classifier.')}
    # detectors and segmentors have output norms and a head of their own
    dense = {f'backbone.{k}': v for k, v in classifier.items() if not k.startswith('classifier')}
    for name in norms:
        key = name.replace('norms.', 'outnorm')
        dense[f'backbone.{key}'] = torch.zeros(()).expand(own[name].shape)
    report = fit(own, {**dense, 'decode_head.conv.weight': torch.ones(1)}, VMAMBA, 'backbone.')
    assert report.weights.keys() == own.keys()
    assert not report.missing and not report.reshaped and not report.unused
    assert str(report) == f'{len(own)} of {len(own)} tensors loaded'
    outer = nn.ModuleDict(dict(backbone=model))
    found = outer.load_state_dict(dense, strict=True, assign=True)
    assert not found.missing_keys and not found.unexpected_keys


def test_other_vmambas_are_named(vmamba_arch):
    arch, model, _ = vmamba_arch
    for other, file in vmamba_files.ARCHS.items():
        if other != arch:
            with pytest.raises(CoverageError) as error:
                fit(model.state_dict(), vmamba_files.empty(file), VMAMBA, archs=VMamba.arch_zoo)
            assert str(error.value) == f"this is a '{other}' file, the model is '{arch}'"


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
@pytest.mark.parametrize('given', [None, 'backbone.'])
def test_files_of_another_family_are_named(prefix, given, tmp_path):
    sparx = SPARX.to_released(SparXMamba(PICO).state_dict())
    files = dict(
        SparX=sparx,
        VMamba=VMAMBA.to_released(VMamba(PICO_VMAMBA).state_dict()),
        VSSD=state_dicts.VSSD.to_released(VSSD(PICO_VSSD).state_dict()),
        GroupMamba=GROUPMAMBA.to_released(GroupMamba(PICO_GROUPMAMBA).state_dict()),
        PlainMamba=PLAINMAMBA.to_released(PlainMamba(PICO_PLAINMAMBA).state_dict()),
    )
    for (backbone, arch), name, found in (
        ((SparXMamba, PICO), 'SparX', 'VMamba'),
        ((SparXSwin, PICO_SWIN), 'SparX', 'VMamba'),
        ((VMamba, PICO_VMAMBA), 'VMamba', 'SparX'),
        ((VSSD, PICO_VSSD), 'VSSD', 'SparX'),
        ((VMamba, PICO_VMAMBA), 'VMamba', 'VSSD'),
        ((VMamba, PICO_VMAMBA), 'VMamba', 'GroupMamba'),
        ((GroupMamba, PICO_GROUPMAMBA), 'GroupMamba', 'SparX'),
        ((VMamba, PICO_VMAMBA), 'VMamba', 'PlainMamba'),
        ((PlainMamba, PICO_PLAINMAMBA), 'PlainMamba', 'VSSD'),
    ):
        path = tmp_path / 'file.pth'
        torch.save({prefix + k: v for k, v in files[found].items()}, path)
        with pytest.raises(CoverageError) as error:
            backbone(arch, init_cfg=pretrained(path, prefix=given)).init_weights()
        assert str(error.value) == (
            f'{path}: this is a {found} file, the model is {name}: give a file of {name}'
        )


def test_own_names_of_another_family():
    with pytest.raises(CoverageError, match='this is a VMamba file, the model is SparX'):
        fit(SparXMamba(PICO).state_dict(), VMamba(PICO_VMAMBA).state_dict(), SPARX)
    with pytest.raises(CoverageError, match='this is a SparX file, the model is VMamba'):
        fit(VMamba(PICO_VMAMBA).state_dict(), SparXMamba(PICO).state_dict(), VMAMBA)
    # a position encoding marks SparX no longer
    for family, arch in ((VSSD, PICO_VSSD), (VSSD, dict(PICO_VSSD, base='tiny-iccv'))):
        with pytest.raises(CoverageError, match='this is a VSSD file, the model is SparX'):
            fit(SparXMamba(PICO).state_dict(), family(arch).state_dict(), SPARX)
    with pytest.raises(CoverageError, match="a VMamba file, and type='PretrainedSwin' reads"):
        fit(SparXSwin(PICO_SWIN).state_dict(), vmamba_files.empty('cls_t'), SWIN, in_parts=True)


class Nothing(nn.Module):
    """A mixer without parameters."""

    def __init__(self, dim):
        super().__init__()
        self.in_channels = dim

    def forward(self, x):
        """Return (B, C, H, W) as it is."""
        return x


@pytest.mark.parametrize('names', [dict, SPARX.to_released])
def test_a_mixer_without_parameters(names, tmp_path):
    PARTS.register_module(module=Nothing)
    try:
        arch = dict(PICO, mixer=dict(type='Nothing'))
        source = SparXMamba(arch)
        assert not any('.mixer.' in name for name in source.state_dict())
        torch.save(names(source.state_dict()), tmp_path / 'file.pth')
        model = SparXMamba(arch, init_cfg=pretrained(tmp_path / 'file.pth'))
        model.init_weights()
        assert is_loaded(source, model)
        model = SparXMamba(arch, init_cfg=pretrained(tmp_path / 'file.pth', prefix='a'))
        with pytest.raises(CoverageError, match='did you mean prefix=None'):
            model.init_weights()
    finally:
        PARTS._module_dict.pop('Nothing')


def test_hostile_files_are_refused_by_the_backbone_alone(tmp_path):
    """Without `sparx_mm.engine`, which makes mmengine read safely."""
    torch.save(dict(x=payloads(tmp_path / 'trace')['system']), tmp_path / 'file.pth')
    model = SparXMamba(PICO, init_cfg=pretrained(tmp_path / 'file.pth'))
    with pytest.raises(UserError, match='is refused: it would run code'):
        model.init_weights()
    assert not (tmp_path / 'trace').exists()


def test_a_missing_package_is_one_line(source, tmp_path):
    """What `pip install torch onedl-mmengine` does not install; a file needs none of it."""
    torch.save(source.state_dict(), tmp_path / 'file.pth')
    folder = tmp_path / 'run'
    folder.mkdir()
    code = (
        f'import sys; sys.path.insert(0, {str(ROOT)!r})\n'
        'from sparx_mm import SparXMamba\n'
        'from sparx_mm.errors import UserError\n'
        f'init_cfg = {pretrained(tmp_path / "file.pth")!r}\n'
        f'SparXMamba({PICO!r}, init_cfg=init_cfg).init_weights()\n'
        'init_cfg["checkpoint"] = "open-mmlab://resnet50"\n'
        'try:\n'
        f'    SparXMamba({PICO!r}, init_cfg=init_cfg).init_weights()\n'
        'except UserError as error:\n'
        '    print(error)\n'
    )
    done = run_without(['cv2'], code, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        'open-mmlab://resnet50 cannot be read without cv2, which is not '
        'installed; type: pip install opencv-python-headless'
    )
