"""Detectors, segmentors, classifiers and rotated detectors predict what their library says."""

import copy

import cv2
import numpy as np
import pytest
import torch
from classification import CONFIGS as CLASSIFIERS
from classification import tiny_config as tiny_classifier
from detection import ROOT
from detection import tiny_config as tiny_detector
from mmdet.apis import inference_detector
from mmengine.dataset import pseudo_collate
from rotated import CONFIGS as ROTATED
from rotated import tiny_config as tiny_rotated
from segmentation import CONFIGS as SEGMENTORS
from segmentation import tiny_config as tiny_segmentor

import sparx_mm
from sparx_mm.demo import CLASSES
from sparx_mm.engine.saving.test_settings import collect_settings
from sparx_mm.errors import UserError

DETECTOR = ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py'


def named(configs, name):
    return next(path for path in configs if path.stem == name)


def random_load(cfg, **kwargs):
    torch.manual_seed(0)
    return sparx_mm.load(cfg, device='cpu', **kwargs)


@pytest.fixture(scope='module')
def images(shapes):
    return sorted(str(path) for path in (shapes / 'val').glob('*.png'))


@pytest.fixture(scope='module')
def detector(shapes):
    return random_load(tiny_detector(DETECTOR, shapes))


@pytest.fixture(scope='module')
def segmentor(ade):
    return random_load(tiny_segmentor(named(SEGMENTORS, 'semantic_fpn_sparx_t'), ade))


@pytest.fixture(scope='module')
def classifier(imagenet):
    return random_load(tiny_classifier(named(CLASSIFIERS, 'sparx_t_in1k'), imagenet))


def boxes(sample):
    found = sample.pred_instances
    return torch.cat([found.bboxes, found.scores[:, None], found.labels[:, None]], 1)


def test_a_detector(detector, images):
    assert detector.task == 'detection' and detector.classes == CLASSES
    found = detector.predict(images)
    assert [sample.img_path for sample in found] == images
    for path, sample in zip(images, found):
        alone = inference_detector(detector.model, path)
        assert len(boxes(sample)) and boxes(sample).equal(boxes(alone))
        # as it depends on no other image of a batch, and on a file as on its pixels
        by_array = detector.predict([cv2.imread(path)])[0]
        assert boxes(sample).equal(boxes(by_array))


def test_a_batch_of_several_sizes(detector, images):
    pixels = [cv2.imread(path) for path in images]
    pixels[1] = np.ascontiguousarray(pixels[1][:40])
    together = detector.predict(pixels, batch_size=3)
    for array, sample in zip(pixels, together):
        assert sample.ori_shape == array.shape[:2]
        scores = detector.predict(array)[0].pred_instances.scores
        torch.testing.assert_close(sample.pred_instances.scores, scores, atol=1e-4, rtol=0)


def test_a_threshold(detector, images):
    scores = detector.predict(images[0])[0].pred_instances.scores
    middle = float(scores.median())
    kept = detector.predict(images[0], score_thr=middle)[0].pred_instances
    assert 0 < len(kept) == int((scores >= middle).sum()) < len(scores)


def test_a_detector_in_tiles(detector, images):
    pixels = cv2.resize(cv2.imread(images[0]), (150, 100))
    (found,) = detector.predict(pixels, tile=64, batch_size=4, score_thr=0.1)
    instances = found.pred_instances
    assert len(instances) and instances.masks.shape == (len(instances), 100, 150)
    corners = instances.bboxes
    assert corners.min() >= 0 and corners[:, 2].max() <= 150 and corners[:, 3].max() <= 100
    assert corners[:, 2].max() > 64
    # one tile, which is the image, changes nothing
    whole = detector.predict(pixels)[0].pred_instances
    alone = detector.predict(pixels, tile=150)[0].pred_instances
    assert alone.scores.equal(whole.scores) and alone.bboxes.equal(whole.bboxes)


def test_a_drawing(detector, images):
    pixels = cv2.imread(images[0])
    (sample,) = detector.predict(images[0])
    picture = detector.draw(pixels, sample, 0.05)
    assert picture.shape == pixels.shape and picture.dtype == np.uint8
    assert (picture != pixels).any()
    assert (detector.draw(pixels, sample, 1.0) == pixels).all()


def test_a_segmentor(segmentor, ade):
    path = str(next((ade / 'images/validation').glob('*.jpg')))
    (sample,) = segmentor.predict(path)
    pixels = cv2.imread(path)
    assert 'seg_logits' not in sample
    assert sample.pred_sem_seg.data.shape == (1, *pixels.shape[:2])
    assert len(segmentor.classes) == 150 and segmentor.metainfo['reduce_zero_label']
    assert segmentor.draw(pixels, sample).shape == pixels.shape
    (sample,) = segmentor.predict(pixels[:1, :1])
    assert segmentor.draw(pixels[:1, :1], sample).shape == (1, 1, 3)


def test_a_segmentor_in_tiles(segmentor):
    pixels = np.random.default_rng(0).integers(0, 255, (100, 150, 3), np.uint8)
    (tiled,) = segmentor.predict(pixels, tile=64, overlap=0.25, batch_size=2)
    assert tiled.pred_sem_seg.data.shape == (1, 100, 150)
    (whole,) = segmentor.predict(pixels)
    (one,) = segmentor.predict(pixels, tile=150)
    assert one.pred_sem_seg.data.equal(whole.pred_sem_seg.data)


def test_a_classifier(classifier, imagenet):
    assert classifier.task == 'classification' and classifier.classes == tuple(sorted(CLASSES))
    paths = sorted(str(path) for path in (imagenet / 'val').rglob('*.JPEG'))
    found = classifier.predict(paths, batch_size=4)
    assert len(found) == len(paths)
    for sample in found:
        assert sample.pred_score.shape == (6,)
        assert float(sample.pred_score.sum()) == pytest.approx(1, abs=1e-5)
    with pytest.raises(UserError, match='tiles are for detectors'):
        classifier.predict(paths, tile=64)


def test_a_rotated_detector(dota):
    cfg = tiny_rotated(ROTATED[-1], dota)
    cfg.model.test_cfg.rcnn.score_thr = 0.0
    predictor = random_load(cfg)
    path = str(next((dota / 'trainval/images').glob('*.png')))
    (sample,) = predictor.predict(path)
    assert sample.pred_instances.bboxes.shape[1] == 5 and len(sample.pred_instances)
    (tiled,) = predictor.predict(np.tile(cv2.imread(path), (2, 2, 1)), tile=64, batch_size=4)
    assert tiled.pred_instances.bboxes.shape[1] == 5
    assert predictor.draw(cv2.imread(path), sample, 0.0).shape == (64, 64, 3)


def test_augmentation(detector, segmentor, classifier, images, ade, imagenet):
    cfg = copy.deepcopy(segmentor.cfg)
    cfg.tta_pipeline = None
    predictor = random_load(cfg, tta=True)
    path = str(next((ade / 'images/validation').glob('*.jpg')))
    pixels = cv2.imread(path)
    (plain,), (flipped,) = predictor.predict(pixels), predictor.predict(pixels[:, ::-1].copy())
    # what is averaged over both is the same for both
    agree = plain.pred_sem_seg.data == flipped.pred_sem_seg.data.flip(2)
    assert agree.float().mean() > 0.99
    with pytest.raises(UserError, match='do not go together'):
        predictor.predict(path, tile=64)
    cfg = copy.deepcopy(detector.cfg)
    # mmdet merges no masks
    cfg.model.roi_head.mask_head = None
    (found,) = random_load(cfg, tta=True).predict(images[0])
    assert len(found.pred_instances) and 'masks' not in found.pred_instances
    predictor = random_load(copy.deepcopy(classifier.cfg), tta=True)
    path = str(next((imagenet / 'val').rglob('*.JPEG')))
    (sample,) = predictor.predict(path)
    assert not torch.equal(sample.pred_score, classifier.predict(path)[0].pred_score)


def test_broken_images_are_named(detector, images, tmp_path):
    broken = tmp_path / 'broken.png'
    broken.write_bytes(b'')
    with pytest.raises(UserError, match=r'broken\.png is empty'):
        detector.predict([images[0], str(broken)])
    frames = sparx_mm.inference.find_sources([images[0], str(broken), images[1]]).frames()
    found = list(detector.stream(frames, batch_size=2))
    assert [sample is None for _, _, sample in found] == [False, True, False]
    assert 'broken.png is empty' in found[1][0].fault


def test_mistakes(detector, images):
    for options in (dict(batch_size=0), dict(tile=1), dict(tile=64, overlap=1)):
        with pytest.raises(UserError):
            detector.predict(images, **options)


@pytest.mark.parametrize(
    'args,kwargs,message',
    [
        ((), {}, 'give a config, a checkpoint, or both'),
        (('epoch_1.pth',), {}, r'load\(CONFIG, CHECKPOINT\)'),
        (('none.py', None), {}, 'no config file'),
        ((DETECTOR, 'none.pth'), {}, 'none.pth does not exist'),
        ((DETECTOR, None, 'gpu'), {}, '--device gpu'),
        ((DETECTOR, None), dict(device='cuda:99'), 'give cpu, or cuda'),
        ((DETECTOR, None), dict(cfg_options={'model.backbone.arch': 'huge'}), "arch 'huge'"),
    ],
)
def test_what_cannot_be_loaded(args, kwargs, message):
    with pytest.raises(UserError, match=message):
        sparx_mm.load(*args, **kwargs)


def test_the_backbone_is_compiled_before_it_is_wrapped(classifier, monkeypatch):
    seen = []
    monkeypatch.setattr('sparx_mm.inference.loading.compile_backbones', seen.append)
    predictor = random_load(copy.deepcopy(classifier.cfg), compile=True, tta=True)
    assert seen == [predictor.model.module]


def test_a_file_of_another_head_is_refused(detector, shapes, tmp_path):
    torch.save(dict(state_dict=detector.model.state_dict()), tmp_path / 'a.pth')
    cfg = tiny_detector(DETECTOR, shapes)
    for head in (cfg.model.roi_head.bbox_head, cfg.model.roi_head.mask_head):
        head.num_classes = 2
    with pytest.raises(UserError, match='was trained for 6 classes, the config has 2'):
        sparx_mm.load(cfg, str(tmp_path / 'a.pth'))


def test_collated_as_a_runner_does(detector, images):
    """`pseudo_collate` is what test loaders of mmengine take."""
    prepared = detector._preparation.prepare(detector._preparation.load(images[0]))
    (sample,) = detector.model.test_step(pseudo_collate([prepared]))
    assert boxes(sample).equal(boxes(detector.predict(images[0])[0]))


def test_a_model_on_a_cpu_keeps_freed_memory(imagenet, monkeypatch):
    kept = []
    monkeypatch.setattr('sparx_mm.inference.loading.keep_freed_memory', lambda: kept.append(1))
    random_load(tiny_classifier(named(CLASSIFIERS, 'sparx_t_in1k'), imagenet))
    assert kept


def test_an_inferencer_takes_the_model_of_a_checkpoint_alone(classifier, imagenet, tmp_path):
    from mmpretrain import ImageClassificationInferencer

    cfg = tiny_classifier(named(CLASSIFIERS, 'sparx_t_in1k'), imagenet)
    meta = dict(test_settings=collect_settings(cfg), dataset_meta=classifier.metainfo)
    path, image = str(tmp_path / 'a.pth'), str(next((imagenet / 'val').rglob('*.*')))
    torch.save(dict(state_dict=classifier.model.state_dict(), meta=meta), path)
    inferencer = ImageClassificationInferencer(sparx_mm.load(checkpoint=path, device='cpu').model)
    (found,), (expected,) = inferencer(image), classifier.predict(image)
    assert found['pred_class'] == classifier.classes[int(expected.pred_label)]
    np.testing.assert_allclose(found['pred_scores'], expected.pred_score, atol=1e-6)
