"""tools/export.py: whole models as files that agree with torch, and what it refuses."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import segmentation
import torch
from detection import ROOT, tiny_config
from mmengine.registry import MODELS, init_default_scope

from sparx_mm.demo import CLASSES
from sparx_mm.errors import UserError
from sparx_mm.export import command as command_module
from sparx_mm.export import export
from sparx_mm.run import load_config

onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')
sys.path.append(str(ROOT / 'docs'))

SIZE = (64, 96)


def save(cfg, folder):
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for name, parameter in model.named_parameters():
        if 'fc_cls' in name or 'rpn_cls' in name:
            # so that scores differ, which those of an untrained head hardly do
            torch.nn.init.normal_(parameter, std=0.3)
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'weights.pth')
    cfg.dump(folder / 'config.py')
    return str(folder / 'config.py'), str(folder / 'weights.pth')


@pytest.fixture(scope='module')
def detector(shapes, tmp_path_factory):
    cfg = tiny_config(ROOT / 'configs/mmdet/mask_rcnn_vmamba_t_1x.py', shapes)
    cfg.model.test_cfg.rcnn.score_thr = 0.05
    # of a thousand boxes some overlap by just the threshold, but for rounding
    cfg.model.test_cfg.rpn.update(nms_pre=50, max_per_img=50)
    return save(cfg, tmp_path_factory.mktemp('detector'))


@pytest.fixture(scope='module')
def segmentor(ade, tmp_path_factory):
    path = ROOT / 'configs/mmseg/upernet_vmamba_t.py'
    cfg = load_config(str(path), segmentation.tiny_options(path, ade))
    return save(cfg, tmp_path_factory.mktemp('segmentor'))


@pytest.fixture(scope='module')
def images(shapes):
    return shapes / 'val'


@pytest.fixture(scope='module')
def detector_file(detector, images, tmp_path_factory):
    path = str(tmp_path_factory.mktemp('onnx') / 'detector.onnx')
    return export(*detector, str(images), out=path, size=SIZE)


@pytest.fixture(scope='module')
def segmentor_file(segmentor, images, tmp_path_factory):
    path = str(tmp_path_factory.mktemp('onnx') / 'segmentor.onnx')
    return export(*segmentor, str(images), out=path, size=SIZE)


def test_a_detector_finds_the_same_boxes(detector_file):
    assert set(detector_file.differences.values()) == {0}
    assert len(detector_file.differences) == 2
    assert detector_file.megabytes > 0.1
    file = onnxruntime.InferenceSession(detector_file.path)
    assert [o.name for o in file.get_outputs()] == ['boxes', 'labels', 'masks']
    facts = file.get_modelmeta().custom_metadata_map
    assert json.loads(facts['classes']) == list(CLASSES)
    assert json.loads(facts['size']) == list(SIZE)
    assert json.loads(facts['mean'])[0] == pytest.approx(123.675)


def test_a_detector_finds_mmdets_boxes(detector, detector_file, images):
    """The forward pass of fixed numbers, in onnxruntime, beside mmdet's own."""
    from sparx_mm import load
    from sparx_mm.export.images import find_images, letterbox
    from sparx_mm.export.network import make_network

    predictor = load(*detector, device='cpu')
    facts = make_network(predictor).facts
    file = onnxruntime.InferenceSession(detector_file.path)
    for image in find_images(images, 2):
        # the pipeline scales to 64x64, and pads to multiples of 32: nothing to pad
        given, sizes = letterbox(image, (64, 64), facts)
        boxes, labels, masks = file.run(None, dict(images=given, sizes=sizes))
        (sample,) = predictor.predict(str(image))
        expected = sample.pred_instances
        count = len(expected)
        assert count > 3
        np.testing.assert_allclose(boxes[0, :count, :4], expected.bboxes, atol=0.01)
        np.testing.assert_allclose(boxes[0, :count, 4], expected.scores, atol=1e-4)
        np.testing.assert_array_equal(labels[0, :count], expected.labels)
        assert (boxes[0, count:, 4] == 0).all()
        assert (labels[0, count:] == -1).all()


def test_a_segmentor_gives_the_same_logits(segmentor_file):
    assert max(segmentor_file.differences.values()) < 1e-4


@pytest.mark.parametrize('kind', ['detector', 'segmentor'])
def test_the_example_draws_without_torch(kind, request, images, tmp_path):
    import run_onnx

    source = (ROOT / 'docs/run_onnx.py').read_text()
    assert 'torch' not in source and len(source.splitlines()) < 70
    image = str(next(images.glob('*.png')))
    out = str(tmp_path / 'drawn.png')
    run_onnx.main(request.getfixturevalue(f'{kind}_file').path, image, out, 0.05)
    before, after = cv2.imread(image), cv2.imread(out)
    assert before.shape == after.shape
    assert (before != after).any()


def test_a_file_that_differs_is_refused_and_removed(segmentor, images, tmp_path, monkeypatch):
    def write(network, form, path, samples, precision, scan):
        Path(path).write_text('')
        # right for the size that was traced, and wrong for the other
        return lambda arrays: [
            y * (1 if arrays['images'].shape[2:] == SIZE else 1.001) for y in network.run(arrays)
        ]

    monkeypatch.setattr(command_module, 'write_file', write)
    with pytest.raises(UserError, match='differs from torch by 0.001, more than 0.0001'):
        export(*segmentor, str(images), out=str(tmp_path / 'a.onnx'), size=SIZE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(form='tflite'), 'tflite is none of onnx, openvino'),
        (dict(form='torchscript', precision='int8'), 'written in float32'),
        (dict(form='torch-export'), 'torch-export holds no detector'),
    ],
)
def test_what_cannot_be_written_is_said(options, message, detector, images, tmp_path):
    with pytest.raises(UserError, match=message):
        export(*detector, str(images), out=str(tmp_path / 'a'), size=SIZE, **options)


def test_a_folder_without_images_is_said(detector, tmp_path):
    with pytest.raises(UserError, match='has no image'):
        export(*detector, str(tmp_path))


def test_a_head_that_cannot_be_exported_is_named():
    from mmdet.models import CascadeRoIHead

    from sparx_mm.export.detector import make_detector

    class Detector:
        roi_head = object.__new__(CascadeRoIHead)

    with pytest.raises(UserError, match='CascadeRoIHead.*--part backbone'):
        make_detector(Detector())
