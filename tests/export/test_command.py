"""tools/export.py: whole models as files that agree with torch, and what it refuses."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from detection import ROOT

from sparx_mm.demo import CLASSES
from sparx_mm.errors import UserError
from sparx_mm.export import command as command_module
from sparx_mm.export import export
from sparx_mm.export.files import draft, file_parts
from sparx_mm.export.options import choose_file, choose_sizes

onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')
SIZE = [64, 96]


def test_a_detector_finds_the_same_boxes(detector_file):
    assert set(detector_file.differences.values()) == {0}
    assert len(detector_file.differences) == 2
    assert detector_file.megabytes > 0.1
    file = onnxruntime.InferenceSession(detector_file.path)
    assert [o.name for o in file.get_outputs()] == ['boxes', 'labels', 'masks']
    facts = file.get_modelmeta().custom_metadata_map
    assert json.loads(facts['classes']) == list(CLASSES)
    assert json.loads(facts['size']) == SIZE
    assert json.loads(facts['mean'])[0] == pytest.approx(123.675)


def test_a_detector_finds_mmdets_boxes(detector, detector_file, images):
    """The forward pass of fixed numbers, in onnxruntime, beside mmdet's own."""
    from sparx_mm import load
    from sparx_mm.export.images import find_images, letterbox
    from sparx_mm.export.network import make_network
    from sparx_mm.export.original import paste_masks

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
        # those of the image, from those of the boxes
        own = dict(ori_shape=(64, 64), scale_factor=(1, 1))
        drawn = paste_masks(predictor.model.roi_head, boxes[0, :count], masks[0, :count], own)
        assert 0.01 < drawn.mean() < 0.99
        assert (drawn != expected.masks.numpy()).mean() < 1e-3
        assert count > 3
        np.testing.assert_allclose(boxes[0, :count, :4], expected.bboxes, atol=0.01)
        np.testing.assert_allclose(boxes[0, :count, 4], expected.scores, atol=1e-4)
        np.testing.assert_array_equal(labels[0, :count], expected.labels)
        assert (boxes[0, count:, 4] == 0).all()
        assert (labels[0, count:] == -1).all()


def test_a_retinanet_finds_the_same_boxes(retinanet, images, tmp_path):
    path = str(tmp_path / 'a.onnx')
    # which holds it to mmdet's own boxes too
    report = export(*retinanet, str(images), out=path, size=SIZE)
    assert set(report.differences.values()) == {0}
    given = dict(images=np.zeros((2, 3, 96, 96), np.float32), sizes=np.float32([[96, 96]] * 2))
    boxes, labels = onnxruntime.InferenceSession(path).run(None, given)
    assert (boxes[:, 3, 4] > 0.05).all()
    assert set(np.unique(labels)) <= {-1, 0, 1, 2}


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


def differs(network, form, path):
    # right for the size that was traced, and wrong for the other
    return lambda arrays: [
        y * (1 if arrays['images'].shape[2:] == (64, 96) else 1.001) for y in network.run(arrays)
    ]


def is_interrupted(network, form, path):
    raise KeyboardInterrupt


@pytest.mark.tries('an exported file that differs')
@pytest.mark.parametrize(
    'opened, error, message',
    [
        (differs, UserError, 'differs from torch by 0.001, more than 0.0001'),
        (command_module.open_file, UserError, 'does not run: .*Protobuf parsing failed'),
        (is_interrupted, KeyboardInterrupt, None),
    ],
)
def test_a_file_that_is_refused_replaces_none(
    opened, error, message, segmentor, images, tmp_path, monkeypatch
):
    def write(network, form, path, samples, precision, scan):
        Path(path).write_text('no network')

    earlier = tmp_path / 'a.onnx'
    earlier.write_text('an earlier export')
    monkeypatch.setattr(command_module, 'write_file', write)
    monkeypatch.setattr(command_module, 'open_file', opened)
    with pytest.raises(error, match=message):
        export(*segmentor, str(images), out=str(earlier), size=SIZE)
    assert list(tmp_path.iterdir()) == [earlier]
    assert earlier.read_text() == 'an earlier export'


@pytest.mark.parametrize('text', ['weights', 'graph'])
def test_a_draft_replaces_the_file_with_all_its_parts(text, tmp_path):
    for name in ('a.xml', 'a.bin'):
        (tmp_path / name).write_text('earlier')
    with draft(str(tmp_path / 'a.xml')) as name:
        for part in file_parts(name):
            Path(part).write_text(text)
        assert (tmp_path / 'a.xml').read_text() == 'earlier'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.bin', 'a.xml']
    assert {path.read_text() for path in tmp_path.iterdir()} == {text}


@pytest.mark.parametrize(
    'out, options, message',
    [
        ('a.onnx', dict(form='tflite'), 'tflite is none of onnx, openvino'),
        ('a.pt', dict(form='torchscript', precision='int8'), 'written in float32'),
        ('a.pt', dict(form='torchscript', scan='lines'), 'leave --scan out'),
        ('a.pt2', dict(form='torch-export', scan='doubling'), 'leave --scan out'),
        ('a.pt2', dict(form='torch-export'), 'torch-export holds no detector'),
        ('a.onnx', dict(labels=True), '--labels is for segmentors'),
        ('a.onnx', dict(score_thr=0.5, part='backbone'), '--score-thr is for detectors'),
        ('a.onnx', dict(size=(64, 0)), 'at least 1 pixel'),
        ('epoch_12.pth', {}, 'a file of --format onnx ends in .onnx'),
        ('none/a.onnx', {}, 'there is no folder'),
    ],
)
def test_what_cannot_be_written_is_said(out, options, message, detector, images, tmp_path):
    with pytest.raises(UserError, match=message):
        export(*detector, str(images), out=str(tmp_path / out), **{'size': SIZE, **options})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('out, form', [('a.pt', 'torchscript'), ('a.xml', 'openvino')])
def test_the_checkpoint_is_never_replaced(out, form, tmp_path):
    weights = tmp_path / ('a.bin' if form == 'openvino' else out)
    with pytest.raises(UserError, match='would replace the checkpoint'):
        choose_file('a.py', str(weights), str(tmp_path / out), form)


@pytest.mark.parametrize('side', [1, 33, 96, 128, 500])
@pytest.mark.parametrize('divisor', [1, 32, 128])
def test_two_sizes_are_compared(side, divisor):
    size, other = choose_sizes((side, side), divisor)
    assert size != other
    assert min(size) >= side
    assert not any(number % max(divisor, 32) for number in (*size, *other))


def test_a_folder_without_images_is_said(detector, tmp_path):
    with pytest.raises(UserError, match='has no image'):
        export(*detector, str(tmp_path))
