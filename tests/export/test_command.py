"""tools/export.py: whole models as files that agree with torch, and what it refuses."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import classification
import cv2
import numpy as np
import pytest
import torch
from archs import PICO_VIM
from detection import ROOT

from sparx_mm.demo import CLASSES
from sparx_mm.errors import UserError
from sparx_mm.export import Report, export
from sparx_mm.export import command as command_module
from sparx_mm.export.evaluation import FileModel, evaluate
from sparx_mm.export.files import FORMATS, draft, file_parts
from sparx_mm.export.options import choose_file, choose_sizes
from sparx_mm.export.runtimes import open_onnx
from sparx_mm.run import load_config, load_runner

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
    assert 'fixed_size' not in facts


def test_images_of_a_folder(tmp_path):
    from sparx_mm.export.images import find_images

    for name in ('._a.png', 'a.png', 'b.JPG', 'c.txt'):
        (tmp_path / name).touch()
    (tmp_path / 'folder.png').mkdir()
    assert [path.name for path in find_images(tmp_path, 9)] == ['a.png', 'b.JPG']


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


def test_the_backbone_of_a_classifier_with_a_teacher(imagenet, images, tmp_path):
    pytest.importorskip('mmpretrain')
    path = ROOT / 'configs/mmpretrain/groupmamba_t_in1k.py'
    cfg = classification.tiny_config(path, imagenet)
    cfg.model.teacher = load_config(str(path)).model.teacher
    cfg.dump(tmp_path / 'config.py')
    out = str(tmp_path / 'a.onnx')
    config = str(tmp_path / 'config.py')
    report = export(config, None, str(images), out=out, part='backbone', size=(64, 64))
    assert report.differences and max(report.differences.values()) < 1e-3


@pytest.fixture
def vim(imagenet, tmp_path):
    """The config of a classifier whose backbone takes images of 64x64 alone."""
    pytest.importorskip('mmpretrain')
    cfg = classification.tiny_config(ROOT / 'configs/mmpretrain/vmamba_t_in1k.py', imagenet)
    arch = dict(PICO_VIM, stem=dict(img_size=64))
    cfg.model.backbone, cfg.model.neck = dict(type='Vim', arch=arch), None
    cfg.model.head.in_channels = PICO_VIM['embed_dims']
    cfg.dump(tmp_path / 'config.py')
    return str(tmp_path / 'config.py')


@pytest.mark.parametrize('form', ['onnx', 'torchscript', 'torch-export'])
def test_a_backbone_for_one_size_is_compared_on_it(form, vim, images, tmp_path):
    path, lines = str(tmp_path / f'a{FORMATS[form]}'), []
    options = dict(form=form, out=path, part='backbone', progress=lines.append)
    report = export(vim, None, str(images), size=(64, 64), **options)
    assert list(report.differences) == [(64, 64)]
    assert lines[0] == 'the network takes images of 64x64 alone, and is compared on them'
    if form == 'onnx':
        file = onnxruntime.InferenceSession(path)
        facts = file.get_modelmeta().custom_metadata_map
        assert json.loads(facts['fixed_size']) == [64, 64]
        # of any number
        (tokens,) = file.run(None, dict(images=np.zeros((3, 3, 64, 64), np.float32)))
        assert tokens.shape == (3, PICO_VIM['embed_dims'])


def test_another_size_than_the_networks_is_said(vim, images, tmp_path):
    out = str(tmp_path / 'a.onnx')
    with pytest.raises(UserError, match='is of images of 64x64, got 96x96'):
        export(vim, None, str(images), out=out, part='backbone', size=(96, 96))


# mmseg's has layers that a trace would make for one size
@pytest.mark.parametrize('kind', ['retinanet', 'segmentor'])
def test_maps_without_out_indices_are_numbered(kind, request, images, tmp_path):
    cfg = load_config(request.getfixturevalue(kind)[0])
    rows = [('BOTTLENECK', (8,)), *(('BASIC', (8, 16, 32, 64)[:count]) for count in (2, 3, 4))]
    stages = {
        f'stage{i}': dict(
            num_modules=1,
            num_branches=len(widths),
            block=block,
            num_blocks=(1,) * len(widths),
            num_channels=widths,
        )
        for i, (block, widths) in enumerate(rows, 1)
    }
    cfg.model.backbone = dict(type='HRNet', extra=stages)
    part = cfg.model.neck if kind == 'retinanet' else cfg.model.decode_head
    part.in_channels = [8, 16, 32, 64]
    if kind == 'segmentor':
        cfg.model.auxiliary_head = None
    cfg.dump(tmp_path / 'config.py')
    path = str(tmp_path / 'a.onnx')
    export(str(tmp_path / 'config.py'), None, str(images), out=path, part='backbone', size=SIZE)
    names = [output.name for output in onnxruntime.InferenceSession(path).get_outputs()]
    assert names == ['stage0', 'stage1', 'stage2', 'stage3']


def test_a_retinanet_finds_the_same_boxes(retinanet, images, tmp_path):
    path = str(tmp_path / 'a.onnx')
    # which holds it to mmdet's own boxes too
    report = export(*retinanet, str(images), out=path, size=SIZE)
    assert set(report.differences.values()) == {0}
    given = dict(images=np.zeros((2, 3, 96, 96), np.float32), sizes=np.float32([[96, 96]] * 2))
    boxes, labels = onnxruntime.InferenceSession(path).run(None, given)
    assert (boxes[:, 3, 4] > 0.05).all()
    assert set(np.unique(labels)) <= {-1, 0, 1, 2}


def test_float16_keeps_scans_and_boxes_wide(detector_file, images):
    import onnx

    from sparx_mm.export.agreement import disagreement
    from sparx_mm.export.images import find_images, letterbox
    from sparx_mm.export.precision import to_half

    facts = onnxruntime.InferenceSession(detector_file.path).get_modelmeta().custom_metadata_map
    facts = dict(facts, mean=json.loads(facts['mean']), std=json.loads(facts['std']))
    given = dict(zip(('images', 'sizes'), letterbox(find_images(images, 1)[0], (64, 96), facts)))
    half = to_half(onnx.load(detector_file.path))
    # a step size that float16 rounds to 0 makes a quotient of none
    casts = {n.output[0]: n for n in half.graph.node if n.op_type == 'Cast'}
    narrow = {name for name, n in casts.items() if n.attribute[0].i == onnx.TensorProto.FLOAT16}
    read = [n.input[0] for n in half.graph.node if n.name.startswith('sparx_mm_scan/Div')]
    assert read and not narrow & {casts[name].input[0] for name in read if name in casts}
    expected, got = (
        onnxruntime.InferenceSession(file).run(None, given)
        for file in (detector_file.path, half.SerializeToString())
    )
    # a box or two of an untrained detector change places
    assert disagreement('boxes', expected, got, 0.05, 'float16') < 0.2
    # not on a grid of 16 bits
    assert (got[0] != got[0].astype(np.float16)).any()


def test_a_file_has_the_metrics_of_its_model(segmentor, segmentor_file):
    metrics = evaluate(*segmentor, open_onnx(segmentor_file.path))
    assert set(metrics) == {'aAcc', 'mIoU', 'mAcc'}
    for ours, torchs in metrics.values():
        assert ours == pytest.approx(torchs, abs=0.05)


def test_a_file_or_torch_that_finds_nothing_is_said(segmentor, monkeypatch):
    """CocoMetric then gives no metric at all."""
    own = dict(mIoU=45.0)
    for expected, found, lines in (
        (own, {}, ['mIoU: nan, torch 45', 'the file finds nothing on the test set']),
        ({}, own, ['mIoU: 45, torch nan', 'torch finds nothing on the test set']),
        ({}, {}, [f'{name} finds nothing on the test set' for name in ('the file', 'torch')]),
        (own, own, ['mIoU: 45, torch 45']),
    ):
        model, answers = SimpleNamespace(data_preprocessor=None), iter((expected, found))
        runner = SimpleNamespace(model=model, test=lambda: next(answers))
        monkeypatch.setattr('sparx_mm.export.evaluation.load_runner', lambda *args: runner)
        metrics = evaluate(*segmentor, run=None)
        assert list(Report('a', 1.0, {}, {}, metrics).lines())[2:] == lines


def test_the_test_set_is_read_before_anything_is_written(detector, images, tmp_path):
    options = {'test_dataloader.dataset.ann_file': 'none.json'}
    with pytest.raises(UserError, match='data set not found'):
        export(
            *detector,
            str(images),
            out=str(tmp_path / 'a.onnx'),
            size=SIZE,
            evaluate=True,
            cfg_options=options,
        )
    assert not list(tmp_path.iterdir())


def test_random_networks_are_not_evaluated(detector, images):
    with pytest.raises(UserError, match='the weights of a checkpoint: give one'):
        export(detector[0], None, str(images), evaluate=True)


@pytest.mark.parametrize('kind', ['detector', 'segmentor'])
@torch.no_grad()
def test_a_file_predicts_as_its_model(kind, request):
    """Through the config's loader, for images of other sizes than the file was traced at."""
    saved = request.getfixturevalue(kind)
    runner = load_runner(load_config(saved[0]), saved[1])
    runner.model.eval()
    data = next(iter(runner.test_dataloader))
    file = FileModel(runner.model, open_onnx(request.getfixturevalue(f'{kind}_file').path))
    (expected, *_), (found, *_) = (
        one.test_step(copy.deepcopy(data)) for one in (runner.model, file)
    )
    if kind == 'segmentor':
        expected, found = (one.pred_sem_seg.data for one in (expected, found))
        assert (found != expected).float().mean() < 1e-3
        return
    expected, found = expected.pred_instances, found.pred_instances
    assert len(found) == len(expected) > 3
    np.testing.assert_allclose(found.bboxes, expected.bboxes, atol=0.01)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert (found.masks != expected.masks).float().mean() < 1e-3


@pytest.mark.parametrize('box', [0, 1])
def test_a_tie_is_told_by_noise(box):
    """Of two boxes, torch has the second one or not, as rounding decides."""
    boxes = np.float32([[[0, 0, 20, 20, 0.9], [30, 0, 50, 40, 0.6]]])

    def run(arrays):
        lacks = 1 if arrays['images'].sum() > 0 else 2
        return [boxes[:, :lacks], np.zeros((1, lacks), np.int64)]

    network = SimpleNamespace(kind='boxes', run=run)
    one = dict(images=np.zeros((1, 3, 8, 8), np.float32), sizes=np.float32([[8, 8]]))

    def run_file(arrays):
        return [np.delete(values, box, 1) for values in run(one)]

    differences = command_module._compare(network, run_file, {(8, 8): [one]}, 0.3, 'float32')
    assert (differences[8, 8] == 0) == (box == 1)


def test_a_segmentor_gives_the_same_logits(segmentor_file):
    assert max(segmentor_file.differences.values()) < 1e-4


@pytest.mark.parametrize('kind', ['detector', 'segmentor'])
def test_the_example_draws_without_torch(kind, request, images, tmp_path):
    import run_onnx

    source = (ROOT / 'docs/run_onnx.py').read_text()
    assert 'torch' not in source and len(source.splitlines()) < 80
    image = str(next(images.glob('*.png')))
    out = str(tmp_path / 'drawn.png')
    run_onnx.main(request.getfixturevalue(f'{kind}_file').path, image, out, 0.05)
    before, after = cv2.imread(image), cv2.imread(out)
    assert before.shape == after.shape
    assert (before != after).any()


def test_the_example_keeps_a_thin_image():
    import run_onnx

    facts = dict(size='[32, 64]', channels='BGR', mean='[0, 0, 0]', std='[1, 1, 1]')
    given, sizes, _ = run_onnx.letterbox(np.full((1, 400, 3), 9, np.uint8), facts)
    assert sizes.tolist() == [[1, 64]]
    assert (given[0, :, 0] == 9).all()


def test_the_example_draws_one_channel():
    import run_onnx

    image, logits = np.full((2, 3, 3), 200, np.uint8), np.full((1, 1, 2, 3), -0.9, np.float32)
    # probabilities of 0.29 and 0.31
    logits[..., 1:] = -0.8
    run_onnx.draw_labels(image, logits, (2, 3), '0.3')
    first, second = image[:, :1], image[:, 1:]
    assert (first == first[0, 0]).all() and (second == second[0, 0]).all()
    assert (first[0, 0] != second[0, 0]).any()


@pytest.mark.parametrize(
    'part, name, message',
    [
        ('backbone', 'a.png', 'is a backbone, whose maps'),
        ('model', 'a.txt', 'a.txt cannot be read'),
    ],
)
def test_the_example_names_what_it_cannot_draw(part, name, message, tmp_path, monkeypatch):
    import run_onnx

    facts = dict(part=part, task='segmentation')
    meta = SimpleNamespace(custom_metadata_map=facts)
    session = SimpleNamespace(get_modelmeta=lambda: meta)
    monkeypatch.setattr(onnxruntime, 'InferenceSession', lambda *args, **options: session)
    (tmp_path / 'a.txt').write_text('no image')
    with pytest.raises(SystemExit, match=message):
        run_onnx.main('a.onnx', str(tmp_path / name), str(tmp_path / 'b.png'))


# whole models take OpenVINO's converter half a minute each
@pytest.mark.faults
@pytest.mark.tries('a whole model in OpenVINO')
@pytest.mark.parametrize('kind', ['detector', 'retinanet', 'segmentor'])
def test_openvino_computes_whole_models(kind, request, images, tmp_path):
    pytest.importorskip('openvino')
    saved, path = request.getfixturevalue(kind), str(tmp_path / 'a.xml')
    report = export(*saved, str(images), out=path, form='openvino', size=SIZE)
    assert len(report.differences) == 2
    assert max(report.differences.values()) < 1e-4


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
        ('a.onnx', dict(evaluate=True, part='backbone'), '--evaluate is for whole detectors'),
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


@pytest.mark.parametrize('config', ['configs/a_3x.py', 'sparx_mm::a_3x', 'sparx_mm::mmdet/a_3x.py'])
def test_a_file_has_the_name_of_its_config(config):
    assert choose_file(config, None, None, 'onnx') == 'a_3x.onnx'


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
