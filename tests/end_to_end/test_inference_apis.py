"""The shipped models run in OpenMMLab's own inference APIs, which have no runner."""

import copy
import warnings

import cv2
import mmcv
import numpy as np
import pytest
import torch
from classification import CONFIGS as CLASSIFIERS
from classification import tiny_config as tiny_classifier
from detection import ROOT
from detection import tiny_config as tiny_detector
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmdet.utils import get_test_pipeline_cfg
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmseg.apis import MMSegInferencer, inference_model, init_model
from segmentation import CONFIGS, tiny_config

import sparx_mm
from sparx_mm.demo import CLASSES

pytestmark = pytest.mark.stack
# one of each pipeline
PIPELINES = {path.stem: path for path in CONFIGS if path.stem.split('_')[-1] in ('t', 'shapes')}


@pytest.fixture(scope='module')
def image(tmp_path_factory):
    """An image of 48 x 64 px, and its file."""
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    path = str(tmp_path_factory.mktemp('images') / 'a.png')
    cv2.imwrite(path, pixels)
    return pixels, path


@pytest.fixture(scope='module')
def saved(shapes, tmp_path_factory):
    """Config and checkpoint of a Mask R-CNN with random weights, which sees boxes."""
    torch.manual_seed(0)
    cfg = tiny_detector(ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py', shapes)
    model = init_detector(cfg, None, device='cpu')
    path = str(tmp_path_factory.mktemp('weights') / 'detector.pth')
    torch.save(
        dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=CLASSES))), path
    )
    return cfg, path


@pytest.fixture
def detector(saved):
    """The same, because mmdet changes the pipeline of a config that it is given."""
    return copy.deepcopy(saved[0]), saved[1]


def boxes(result) -> torch.Tensor:
    """Boxes and scores of a result of mmdet's."""
    found = result.pred_instances
    return torch.cat([found.bboxes, found.scores[:, None]], 1)


def test_inference_detector(detector, image):
    model = init_detector(*detector, device='cpu')
    assert model.dataset_meta['classes'] == CLASSES
    by_path, by_array, in_list = (
        inference_detector(model, image[1]),
        inference_detector(model, image[0]),
        *inference_detector(model, [image[0]]),
    )
    assert len(boxes(by_path)) and by_path.pred_instances.masks.shape[1:] == (48, 64)
    assert boxes(by_path).equal(boxes(by_array)) and boxes(by_path).equal(boxes(in_list))


@pytest.mark.parametrize('network', ['sparx', 'sparx_swin', 'vmamba', 'vssd', 'groupmamba'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half(shapes, network, dtype):
    """Up to mmcv's RoIAlign and NMS, which have no 16 bits on a CPU."""
    torch.manual_seed(0)
    cfg = tiny_detector(ROOT / f'configs/mmdet/mask_rcnn_{network}_t_1x.py', shapes)
    model = init_detector(cfg, None, device='cpu')
    images = torch.rand(2, 3, 64, 64)

    def scores(images):
        found, _ = model.rpn_head(model.extract_feat(images))
        return torch.cat([one.flatten().float() for one in found])

    with torch.no_grad():
        wanted = scores(images)
        with torch.autocast('cpu', dtype):
            autocast = scores(images)
        model.to(dtype)
        found = scores(images.to(dtype))
    # parameters are rounded too, which autocast leaves as they are
    assert 0 < (found - wanted).norm() < 2 * (autocast - wanted).norm()


def test_slices(detector, image):
    """Sliced inference hands over crops of an array, and moves their boxes itself."""
    inferencer = DetInferencer(detector[0], detector[1], device='cpu', show_progress=False)
    crops = [image[0][y : y + 32, x : x + 40] for y in (0, 16) for x in (0, 24)]
    found = inferencer(crops, batch_size=3)['predictions']
    model = init_detector(*detector, device='cpu')
    for crop, one in zip(crops, found):
        assert one['bboxes'] and max(max(box) for box in one['bboxes']) <= 40
        alone = inference_detector(model, np.ascontiguousarray(crop))
        assert len(alone.pred_instances) == len(one['bboxes'])


def test_a_video(detector, image, tmp_path):
    path = str(tmp_path / 'film.avi')
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'MJPG'), 5, (64, 48))
    for turned in range(3):
        writer.write(np.roll(image[0], 8 * turned, 1))
    writer.release()
    model = init_detector(*detector, device='cpu')
    pipeline = get_test_pipeline_cfg(model.cfg)
    pipeline[0].type = 'mmdet.LoadImageFromNDArray'
    pipeline = Compose(pipeline)
    frames = list(mmcv.VideoReader(path))
    found = [inference_detector(model, frame, test_pipeline=pipeline) for frame in frames]
    assert len(found) == 3 and all(len(boxes(one)) for one in found)
    assert not torch.equal(boxes(found[0]), boxes(found[1]))
    assert boxes(found[2]).equal(boxes(inference_detector(model, frames[2])))


@pytest.mark.parametrize('name', PIPELINES)
def test_inference_model(ade, image, name):
    cfg = tiny_config(PIPELINES[name], ade)
    cfg.test_pipeline = cfg.test_dataloader.dataset.pipeline
    model = init_model(cfg, None, device='cpu')
    by_path, by_array = (inference_model(model, one) for one in image[::-1])
    labels = by_path.pred_sem_seg.data
    assert labels.shape == (1, 48, 64) and (labels == by_array.pred_sem_seg.data).all()


@pytest.fixture(scope='module')
def segmentor(ade, tmp_path_factory):
    """Config and checkpoint of a segmentor, as files outside of the clone."""
    folder = tmp_path_factory.mktemp('segmentor')
    cfg = tiny_config(PIPELINES['semantic_fpn_sparx_t'], ade)
    cfg.test_pipeline = cfg.test_dataloader.dataset.pipeline
    cfg.dump(folder / 'config.py')
    torch.manual_seed(0)
    model = init_model(cfg, None, device='cpu')
    names = [f'class {i}' for i in range(150)]
    meta = dict(dataset_meta=dict(classes=names, palette=[[i, 0, 0] for i in range(150)]))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'a.pth')
    return str(folder / 'config.py'), str(folder / 'a.pth')


def test_a_segmentor_from_files(segmentor, image, tmp_path, monkeypatch):
    """mmseg takes LoadAnnotations out of the test pipeline, and leaves the check of labels in."""
    monkeypatch.chdir(tmp_path)
    inferencer = MMSegInferencer(*segmentor, device='cpu', show_progress=False)
    model = init_model(*segmentor, device='cpu')
    labels = inferencer(image[1], out_dir='out')['predictions']
    assert (labels == inference_model(model, image[1]).pred_sem_seg.data[0].numpy()).all()
    ours = sparx_mm.load(*segmentor, device='cpu').predict(image[1])[0]
    assert (labels == ours.pred_sem_seg.data[0].numpy()).all()
    assert model.dataset_meta['classes'][3] == 'class 3'
    assert sorted(path.name for path in (tmp_path / 'out').rglob('*.png')) == [
        '00000000_pred.png',
        'a.png',
    ]


def test_a_classifier_from_files(imagenet, image, tmp_path, monkeypatch):
    from mmpretrain import ImageClassificationInferencer

    path = next(path for path in CLASSIFIERS if path.stem == 'sparx_t_in1k')
    cfg = tiny_classifier(path, imagenet)
    monkeypatch.chdir(tmp_path)
    cfg.dump('config.py')
    torch.manual_seed(0)
    state_dict = sparx_mm.load(cfg, device='cpu').model.state_dict()
    names = [f'class {i}' for i in range(6)]
    torch.save(dict(state_dict=state_dict, meta=dict(dataset_meta=dict(classes=names))), 'a.pth')
    (found,) = ImageClassificationInferencer('config.py', 'a.pth', device='cpu')(image[1])
    (ours,) = sparx_mm.load('config.py', 'a.pth', device='cpu').predict(image[1])
    assert found['pred_class'] == names[int(ours.pred_label)]
    np.testing.assert_allclose(found['pred_scores'], ours.pred_score, atol=1e-6)


def test_gray_arrays(detector, image):
    model = init_detector(*detector, device='cpu')
    gray = np.ascontiguousarray(image[0][..., 0])
    wanted = boxes(inference_detector(model, np.stack([gray] * 3, -1)))
    assert len(wanted)
    for array in (gray, gray[..., None]):
        assert boxes(inference_detector(model, array)).equal(wanted)


def warned(function, *args) -> list[str]:
    """The backbone's warnings while a function runs."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        function(*args)
    return [str(one.message) for one in found if 'NaN' in str(one.message)]


@pytest.fixture(params=['inference_detector', 'DetInferencer', 'inference_model', 'mmpretrain'])
def api(request):
    """A function that predicts an image, its model, and nothing that is wrong with either."""
    name, get = request.param, request.getfixturevalue
    if name == 'inference_detector':
        model = init_detector(*get('detector'), device='cpu')
        return model, lambda image: inference_detector(model, image)
    if name == 'DetInferencer':
        inferencer = DetInferencer(*get('detector'), device='cpu', show_progress=False)
        return inferencer.model, inferencer
    if name == 'inference_model':
        cfg = tiny_config(PIPELINES['semantic_fpn_sparx_t'], get('ade'))
        cfg.test_pipeline = cfg.test_dataloader.dataset.pipeline
        model = init_model(cfg, None, device='cpu')
        return model, lambda image: inference_model(model, image)
    imagenet = get('imagenet')
    from mmpretrain import ImageClassificationInferencer

    init_default_scope('mmpretrain')
    path = next(path for path in CLASSIFIERS if path.stem == 'sparx_t_in1k')
    cfg = tiny_classifier(path, imagenet)
    # Pillow resizes images of 8 bits only
    cfg.test_dataloader.dataset.pipeline[1].backend = 'cv2'
    inferencer = ImageClassificationInferencer(cfg, pretrained=False, device='cpu')
    return inferencer.model, inferencer


@pytest.mark.tries('NaN in an inference')
def test_nan_is_said(api, image):
    model, predict = api
    pixels = image[0].astype(np.float32)
    assert warned(predict, pixels) == []
    pixels[20, 30] = float('nan')
    (text,) = warned(predict, pixels)
    assert 'because pixels of an image are' in text
    assert warned(predict, pixels) == []


@pytest.mark.tries('NaN in an inference')
def test_weights_of_nan_are_said(api, image):
    model, predict = api
    weight = next(model.backbone.parameters())
    weight.data.view(-1)[0] = float('nan')
    (text,) = warned(predict, image[0])
    assert 'because its weights are, stem' in text


@pytest.mark.tries('NaN in the weights')
@pytest.mark.parametrize('api', [init_detector, DetInferencer])
def test_a_head_of_nan_is_said_when_it_is_read(detector, tmp_path, capsys, api):
    cfg, path = detector
    checkpoint = torch.load(path)
    checkpoint['state_dict']['roi_head.bbox_head.fc_cls.bias'][1] = float('nan')
    broken = str(tmp_path / 'broken.pth')
    torch.save(checkpoint, broken)
    api(cfg, broken, device='cpu')
    text = capsys.readouterr().out
    assert 'broken.pth: NaN or infinity in roi_head.bbox_head.fc_cls.bias: ' in text
