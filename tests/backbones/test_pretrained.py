"""`init_cfg=dict(type='Pretrained', ...)`: all of the file, or an error."""

import parity
import pytest
import torch
from archs import PICO
from mmengine.logging import MMLogger
from mmengine.model import BaseModule, PretrainedInit
from mmengine.registry import MODELS
from torch import nn

from sparx_mm import SparXMamba
from sparx_mm.state_dicts import SPARX, CoverageError

LAYOUTS = [(f, v) for f in ('cls', 'det', 'seg') for v in 'tsb']
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
        (lambda w: {k: v.double() for k, v in w.items()}, dict(map_location='cpu')),
    ],
)
@pytest.mark.parametrize('reader', ['ours', "mmengine's"])
def test_layouts(reader, nest, options, source, file, monkeypatch):
    if reader != 'ours':
        # as where sparx_mm.checkpoint_io was not imported
        monkeypatch.setattr(
            'mmengine.runner.CheckpointLoader.load_checkpoint', lambda path, **_: torch.load(path)
        )
    model = SparXMamba(PICO, init_cfg=pretrained(file(nest), **options))
    assert not is_loaded(source, model)
    model.init_weights()
    assert is_loaded(source, model)
    assert model.init_cfg == pretrained(file(nest), **options)


def test_half_precision_files(source, file):
    half = file(lambda w: {k: v.half() for k, v in w.items()})
    model = SparXMamba(PICO, init_cfg=pretrained(half))
    model.init_weights()
    for name, value in source.state_dict().items():
        assert model.state_dict()[name].equal(value.half().to(value.dtype))


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


def test_the_class_is_a_type_too(source, file):
    model = SparXMamba(PICO, init_cfg=dict(type=PretrainedInit, checkpoint=str(file())))
    model.init_weights()
    assert is_loaded(source, model)


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
    assert f'SparXMamba: loaded from {file()}: {count} tensors' in text
    assert f'load from {file()}' in text.split('backbone.stem.0.weight')[1]


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


@pytest.mark.parametrize('flavour, variant', LAYOUTS)
def test_pretrained_loads_every_tensor(flavour, variant, tmp_path):
    file = tmp_path / f'sparx_mamba_{variant}.pth'
    released = parity.released_state(flavour, variant)
    torch.save(released, file)
    model = SparXMamba(
        parity.ARCHS[variant], attn_scale=parity.ATTN_SCALES[flavour], init_cfg=pretrained(file)
    )
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
