"""What is exported is what the user's model predicts, or is refused."""

import pytest
from mmdet.models import CascadeRoIHead, SeesawLoss

import sparx_mm
from sparx_mm.errors import UserError
from sparx_mm.export.detector import TwoStageDetector, make_detector
from sparx_mm.export.images import find_images, letterbox
from sparx_mm.export.network import make_network
from sparx_mm.export.original import check_pass
from sparx_mm.export.segmentor import MatrixPool2d, Segmentor


def check(files, images, labels=False, **cfg_options):
    predictor = sparx_mm.load(*files, device='cpu', cfg_options=cfg_options)
    network = make_network(predictor, labels=labels)
    arrays = letterbox(find_images(images, 1)[0], (64, 96), network.facts)
    check_pass(network, predictor.model, dict(zip(('images', 'sizes'), arrays)))


@pytest.mark.parametrize('labels', [False, True])
@pytest.mark.parametrize('wrong', [False, True])
def test_a_segmentor(wrong, labels, segmentor, images, monkeypatch):
    if wrong:
        # the rewritten pooling, of which the model knows nothing
        monkeypatch.setattr(MatrixPool2d, 'forward', lambda self, x: x[..., :1, :1] + 1)
        with pytest.raises(UserError, match=r'EncoderDecoder.* its own predict\(\) by'):
            check(segmentor, images, labels)
    else:
        check(segmentor, images, labels)


def test_a_backbone_of_a_segmentor(segmentor, images):
    predictor = sparx_mm.load(*segmentor, device='cpu')
    network = make_network(predictor, 'backbone')
    given = letterbox(find_images(images, 1)[0], (64, 96), network.facts)
    arrays = dict(zip(('images', 'sizes'), given))
    check_pass(network, predictor.model, arrays)
    # a copy, whose layers are replaced
    network.module.stem.register_forward_hook(lambda module, args, out: out * 1.1)
    with pytest.raises(
        UserError, match='no export of EncoderDecoder: .* differs .*, more than 0.0001$'
    ):
        check_pass(network, predictor.model, arrays)


@pytest.mark.parametrize('part', ['_masks', '_classify', '_propose'])
def test_a_detector(part, detector, images, monkeypatch):
    right = getattr(TwoStageDetector, part)
    wrong = dict(
        _masks=lambda *args: 1 - right(*args),
        # scores that are a little off
        _classify=lambda *args: [x * (1 if i != 1 else 0.99) for i, x in enumerate(right(*args))],
        _propose=lambda *args: right(*args) * 0.8,
    )[part]
    monkeypatch.setattr(TwoStageDetector, part, wrong)
    with pytest.raises(UserError, match=r'MaskRCNN.* its own predict\(\) by (1|0\.8\d),'):
        check(detector, images)


def test_windows_that_slide_are_refused(segmentor, images):
    options = {'model.test_cfg': dict(mode='slide', crop_size=(32, 32), stride=(16, 16))}
    with pytest.raises(UserError, match='test_cfg.mode=slide.*mode=whole'):
        check(segmentor, images, **options)


def test_the_threshold_of_one_channel_is_kept(segmentor):
    predictor = sparx_mm.load(*segmentor, device='cpu')
    head = predictor.model.decode_head
    assert 'threshold' not in make_network(predictor).facts
    head.out_channels, head.threshold = 1, 0.4
    assert make_network(predictor).facts['threshold'] == 0.4
    assert 'threshold' not in make_network(predictor, labels=True).facts


def test_scores_of_a_loss_are_refused(detector, images):
    predictor = sparx_mm.load(*detector, device='cpu')
    predictor.model.roi_head.bbox_head.loss_cls = SeesawLoss(num_classes=3)
    with pytest.raises(UserError, match='Shared2FCBBoxHead with SeesawLoss'):
        make_network(predictor)


def test_a_model_that_runs_otherwise_is_refused(segmentor, images, monkeypatch):
    monkeypatch.delattr(Segmentor, 'forward')
    with pytest.raises(UserError, match='no export of EncoderDecoder, which runs otherwise'):
        check(segmentor, images)


def test_a_head_that_cannot_be_exported_is_named():
    class Detector:
        roi_head = object.__new__(CascadeRoIHead)

    with pytest.raises(UserError, match='CascadeRoIHead.*--part backbone'):
        make_detector(Detector())
