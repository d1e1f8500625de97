"""Segmentors of the configs predict images of any size, whole, in windows and at several scales."""

import pytest
import torch
from aerial import find_set
from detection import ROOT
from mmengine.dataset import pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from segmentation import tiny_config

from sparx_mm.run import build_runner

# each head and each family of backbones
VARIED = ['semantic_fpn_sparx_t', 'upernet_sparx_swin_t', 'upernet_vmamba_t', 'upernet_vssd_iccv_t']


@pytest.fixture
def build(ade, tmp_path):
    """Return a function that builds the runner of a small segmentor."""

    def build(name, loops=()):
        path = ROOT / f'configs/mmseg/{name}.py'
        torch.manual_seed(0)
        return build_runner(tiny_config(path, ade, str(tmp_path)), loops)

    return build


@pytest.mark.stack
@pytest.mark.parametrize('name', VARIED)
def test_predictions(name, build):
    runner = build(name, ('test',))
    model = runner.model
    model.init_weights()
    model.eval()
    for batch in runner.test_dataloader:
        with torch.no_grad():
            sample = model.test_step(batch)[0]
        # the label map keeps the size of the file, as does the prediction
        assert sample.gt_sem_seg.shape == sample.ori_shape
        assert sample.pred_sem_seg.shape == sample.ori_shape
        assert sample.seg_logits.data.isfinite().all()


def _predict(model, image):
    """Return classes and logits of an image of shape (3, H, W)."""
    sample = dict(inputs=[image])
    with torch.no_grad():
        sample = model.eval().test_step(sample)[0]
    return sample.pred_sem_seg.data, sample.seg_logits.data


@pytest.mark.stack
@pytest.mark.parametrize('name', VARIED)
@pytest.mark.parametrize('size', [(1, 1), (33, 47), (512, 2048)])
def test_any_size_of_image(name, size, build):
    model = build(name).model
    model.init_weights()
    found, logits = _predict(model, torch.randint(256, (3, *size)))
    assert found.shape == (1, *size)
    assert logits.shape == (150, *size) and logits.isfinite().all()
    assert found.equal(logits.argmax(0, keepdim=True))


@pytest.mark.stack
@pytest.mark.parametrize('name', VARIED)
def test_sliding_and_whole_inference_agree(name, build):
    model = build(name).model
    model.init_weights()
    image = torch.randint(256, (3, 33, 47))
    _, whole = _predict(model, image)
    # one window holds all of it
    model.test_cfg.update(mode='slide', crop_size=(64, 64), stride=(32, 32))
    found, slide = _predict(model, image)
    assert slide.equal(whole) and found.equal(whole.argmax(0, keepdim=True))
    # two windows side by side that do not overlap: two images
    wide = torch.cat([image, image.flip(2)], 2)
    model.test_cfg.update(crop_size=(33, 47), stride=(33, 47))
    _, slide = _predict(model, wide)
    _, flipped = _predict(model, image.flip(2))
    torch.testing.assert_close(slide, torch.cat([whole, flipped], 2), rtol=0, atol=1e-4)
    # windows that overlap: the mean where they do
    model.test_cfg.update(crop_size=(33, 47), stride=(33, 24))
    _, slide = _predict(model, wide)
    _, middle = _predict(model, wide[..., 24:71])
    both = torch.stack([whole[..., 24:], middle[..., :23]]).mean(0)
    torch.testing.assert_close(slide[..., 24:47], both, rtol=0, atol=1e-4)


@pytest.mark.stack
@pytest.mark.parametrize(
    'name, views', [('semantic_fpn_sparx_t', 12), ('semantic_fpn_sparx_t_vaihingen_256', 3)]
)
def test_tta_averages_probabilities(name, views, ade, aerial, tmp_path):
    path, data = ROOT / f'configs/mmseg/{name}.py', find_set(name)
    cfg = tiny_config(path, aerial / data if data else ade, str(tmp_path))
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.eval()
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(**cfg.tta_model, module=cfg.model)
    runner = build_runner(cfg, ('test',))
    runner.model.module.load_state_dict(model.state_dict())
    runner.model.eval()
    inputs = runner.test_dataloader.dataset[0]
    assert len(inputs['inputs']) == views
    batch = pseudo_collate([inputs])
    with torch.no_grad():
        (merged,) = runner.model.test_step(batch)
        single = [
            model.test_step(dict(inputs=[image], data_samples=[sample]))[0]
            for image, sample in zip(inputs['inputs'], inputs['data_samples'])
        ]
    mean = sum(sample.seg_logits.data.softmax(0) for sample in single) / views
    assert merged.pred_sem_seg.data.equal(mean.argmax(0, keepdim=True))
    # the label map is neither flipped nor resized
    assert all(sample.gt_sem_seg.data.equal(merged.gt_sem_seg.data) for sample in single)
