"""Files in the layout of the released classifiers, in whole models."""

import logging

import parity
import pytest
import torch
from archs import PICO
from classification import tiny_config, tiny_options
from detection import ROOT
from mmengine.registry import MODELS, init_default_scope

from sparx_mm.checkpoint_io import convert_checkpoint
from sparx_mm.run import build_runner, load_config, load_runner
from sparx_mm.state_dicts import SPARX, VSSD, CoverageError, flatten_model

CONFIG = ROOT / 'configs/mmpretrain/sparx_t_in1k.py'
CLASSES = tuple(f'class {i}' for i in range(1000))


@pytest.fixture
def load(imagenet, tmp_path):
    """A function that reads a shipped config, at full size."""

    def load(variant):
        path = ROOT / f'configs/mmpretrain/sparx_{variant}_in1k.py'
        options = {
            key: value
            for key, value in tiny_options(path, imagenet).items()
            if not key.startswith('model.')
        }
        # a list of files in the place of a folder for each class
        files = (imagenet / 'val').rglob('*.JPEG')
        (tmp_path / 'val.txt').write_text('\n'.join(f'{f} 0' for f in files))
        options['test_dataloader.dataset.ann_file'] = str(tmp_path / 'val.txt')
        options['test_dataloader.dataset.metainfo.classes'] = CLASSES
        return load_config(str(path), options, str(tmp_path / 'run'))

    return load


def released_names(model):
    """A model's tensors by the names of a released file."""
    return SPARX.to_released(flatten_model(model.state_dict(), SPARX))


def assert_equal(model, released):
    loaded = released_names(model)
    assert loaded.keys() == released.keys()
    assert [k for k in released if not loaded[k].equal(released[k])] == []


def assert_golden(model, variant):
    """Logits within 1e-4 of the largest, in float32."""
    golden = parity.golden(f'cls_{variant}_224x224')['logits']
    with torch.no_grad():
        logits = model.eval()(parity.image(variant, 224, 224), mode='tensor')
    assert (logits - golden).abs().max() <= 1e-4 * golden.abs().max()


@pytest.mark.parametrize('variant', parity.SIZES)
def test_file_for_testing(load, tmp_path, variant):
    """As tools/test.py and load_from take it."""
    released = parity.released_state('cls', variant)
    torch.save(dict(model=released), tmp_path / 'file.pth')
    runner = load_runner(load(variant), str(tmp_path / 'file.pth'))
    (log,) = (tmp_path / 'run').rglob('*.log')
    (line,) = [m for m in log.read_text().splitlines() if 'tensors loaded' in m]
    # all of both, and nothing more to say of it
    count = len(released)
    assert line.endswith(f'file.pth: {count} of {count} tensors loaded')
    assert_equal(runner.model, released)
    assert_golden(runner.model, variant)


@pytest.fixture
def small(imagenet, tmp_path):
    """A function that reads a config of a small classifier."""

    def small(**options):
        return tiny_config(CONFIG, imagenet, str(tmp_path / 'run'), **options)

    return small


@pytest.fixture
def released(small):
    """Weights of a small classifier, by the names of a released file."""
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    weights = released_names(MODELS.build(small().model))
    assert 'classifier.3.weight' in weights
    return weights


@pytest.mark.parametrize('names', ['released', 'own', 'mmpretrain'])
def test_file_through_init_cfg(small, released, tmp_path, names, caplog):
    torch.save(released, tmp_path / 'a.pth')
    file = str(tmp_path / f'{names}.pth')
    convert_checkpoint(str(tmp_path / 'a.pth'), file, names)
    init_cfg = dict(type='Pretrained', checkpoint=file)
    runner = build_runner(small(model__init_cfg=init_cfg))
    runner.call_hook('before_run')
    with caplog.at_level(logging.WARNING):
        runner.model.init_weights()
    assert 'do not match exactly' not in caplog.text
    assert_equal(runner.model, released)


def test_file_without_our_tools(small, released):
    """mmpretrain's classifier and torch's load_state_dict are enough."""
    model = MODELS.build(small().model)
    keys = model.load_state_dict(released, strict=True)
    assert not keys.missing_keys and not keys.unexpected_keys
    assert_equal(model, released)
    # a copy, as EMAHook makes it, has the names of a whole model
    model.load_state_dict(model.state_dict(), strict=True)


@pytest.mark.parametrize('depth,dropped', [(3, 'layers.2'), (4, 'nothing')])
def test_a_file_that_does_not_fit(small, released, tmp_path, depth, dropped):
    file = str(tmp_path / 'file.pth')
    torch.save({k: v for k, v in released.items() if dropped not in k}, file)
    arch = dict(PICO)
    arch['depths'] = (1, 2, depth, 2)
    with pytest.raises(CoverageError, match=file):
        load_runner(small(model__backbone__arch=arch), file)
    init_cfg = dict(type='Pretrained', checkpoint=file)
    runner = build_runner(small(model__backbone__arch=arch, model__init_cfg=init_cfg))
    with pytest.raises(CoverageError, match=file):
        runner.call_hook('before_run')


def test_a_flat_vssd_classifier(imagenet, tmp_path):
    """Whole, from a training state with the average beside the weights."""
    path = ROOT / 'configs/mmpretrain/vssd_t_in1k.py'
    cfg = tiny_config(path, imagenet, str(tmp_path / 'run'))
    init_default_scope('mmpretrain')
    source = MODELS.build(cfg.model)
    flat = VSSD.to_released(flatten_model(source.state_dict(), VSSD))
    assert {'norm.weight', 'head.bias', 'patch_embed.conv1.conv.weight'} <= flat.keys()
    assert not any(name.startswith('outnorm') for name in flat)
    other = {name: torch.zeros_like(value) for name, value in flat.items()}
    torch.save(dict(model=other, model_ema=flat, epoch=9), tmp_path / 'vssd_tiny_best_ema.pth')
    model = load_runner(cfg, str(tmp_path / 'vssd_tiny_best_ema.pth')).model
    wanted = source.state_dict()
    assert all(value.equal(wanted[name]) for name, value in model.state_dict().items())
