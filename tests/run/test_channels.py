"""Necks and heads take the channels that the backbone gives, or a line names both lists."""

import pytest
from archs import PICO, PICO_VMAMBA
from classification import CONFIGS as CLASSIFIERS
from detection import CONFIGS as DETECTORS
from mmengine.config import Config
from segmentation import CONFIGS as SEGMENTORS

from sparx_mm.errors import UserError
from sparx_mm.run import load_config
from sparx_mm.run.channels import check_channels

pytestmark = pytest.mark.stack
DIMS = [16, 24, 32, 40]


def _check(backbone=(), **parts):
    backbone = dict(dict(type='SparXMamba', arch=PICO), **dict(backbone))
    check_channels(Config(dict(model=dict(backbone=backbone, **parts))))


def test_the_shipped_configs_fit():
    for path in (*DETECTORS, *SEGMENTORS, *CLASSIFIERS):
        check_channels(load_config(str(path)))


LAST = dict(out_indices=(3,))
LAST_TWO = dict(out_indices=(2, 3))
LATER = dict(out_indices=(1, 2, 3))
FPN = dict(type='FPN', in_channels=DIMS, out_channels=32, num_outs=4)
SIMPLE = dict(
    type='SimpleFeaturePyramid',
    backbone_channel=40,
    in_channels=[10, 20, 40, 40],
    out_channels=32,
    num_outs=4,
)
YOLO = dict(type='YOLOV3Neck', in_channels=[40, 32, 24])
HEAD = dict(type='FPNHead', in_channels=[32] * 4, in_index=[0, 1, 2, 3])


@pytest.mark.parametrize(
    'backbone,parts',
    [
        ({}, dict(neck=FPN)),
        (LATER, dict(neck=dict(FPN, in_channels=(24, 32, 40)))),
        ({}, dict(neck=[FPN, dict(type='BFP', in_channels=256)])),
        (LATER, dict(neck=dict(type='ChannelMapper', in_channels=[24, 32, 40]))),
        ({}, dict(neck=FPN, decode_head=HEAD, rpn_head=dict(in_channels=32))),
        (LAST, dict(neck=SIMPLE, rpn_head=dict(in_channels=32))),
        (LATER, dict(neck=YOLO)),
        # necks that read some of the maps
        ({}, dict(neck=dict(type='SSDNeck', in_channels=(32, 40)))),
        ({}, dict(neck=dict(type='DilatedEncoder', in_channels=40))),
        ({}, dict(decode_head=dict(in_channels=40), auxiliary_head=dict(in_channels=40))),
        ({}, dict(decode_head=dict(in_channels=[24, 40], in_index=(1, -1)))),
        ({}, dict(auxiliary_head=[dict(in_channels=16, in_index=0), dict(num_classes=2)])),
        ({}, dict(decode_head=dict(type='Mask2FormerHead', in_channels=DIMS))),
        ({}, dict(panoptic_head=dict(in_channels=DIMS))),
        (LAST, dict(neck=dict(type='GlobalAveragePooling'), head=dict(in_channels=40))),
        # what is between is unknown
        ({}, dict(neck=dict(type='MyNeck', width=7), decode_head=dict(in_channels=7))),
        (dict(type='ResNet', depth=50), dict(neck=FPN)),
        (dict(arch='no such arch'), dict(neck=FPN)),
    ],
)
def test_parts_that_fit(backbone, parts):
    _check(backbone, **parts)


@pytest.mark.parametrize(
    'backbone,parts,key,wanted,right',
    [
        (LATER, dict(neck=FPN), 'neck', DIMS, '[24,32,40]'),
        (LATER, dict(neck=[FPN]), 'neck.0', DIMS, '[24,32,40]'),
        ({}, dict(neck=dict(type='YOLOF', in_channels=2048)), 'neck', 2048, '40'),
        ({}, dict(neck=FPN, rpn_head=dict(in_channels=256)), 'rpn_head', 256, '32'),
        ({}, dict(decode_head=dict(in_channels=2048)), 'decode_head', 2048, '40'),
        ({}, dict(auxiliary_head=[dict(in_channels=40, in_index=2)]), 'auxiliary_head.0', 40, '32'),
        ({}, dict(decode_head=dict(in_channels=[32, 24], in_index=[1, 2])), 'decode_head',
         [32, 24], '[24,32]'),
        (LAST, dict(neck=dict(type='NormPooling', in_channels=512)), 'neck', 512, '40'),
        (LAST, dict(neck=dict(type='GlobalAveragePooling'), head=dict(in_channels=512)), 'head',
         512, '40'),
        (dict(type='VMamba', arch=PICO_VMAMBA), dict(panoptic_head=dict(in_channels=[1, 2])),
         'panoptic_head', [1, 2], '[16,24,32,40]'),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit(backbone, parts, key, wanted, right):
    with pytest.raises(UserError) as error:
        _check(backbone, **parts)
    stages = dict(backbone).get('out_indices', (0, 1, 2, 3))
    maps = ', '.join(str(DIMS[i]) for i in stages)
    line = str(error.value)
    assert line.startswith(f'model.backbone gives maps of {maps} channels (out_indices {stages})')
    assert f'; model.{key}.in_channels is {wanted}' in line
    assert line.endswith(f': give model.{key}.in_channels={right}')


@pytest.mark.parametrize(
    'backbone,neck,right',
    [
        ({}, dict(FPN, in_channels=[96, 192, 384]), 'out_indices=(1,2,3) and N=[24,32,40]'),
        ({}, dict(FPN, in_channels=(24, 32, 40)), 'out_indices=(1,2,3)'),
        (LATER, dict(FPN, in_channels=[64]), 'out_indices=(3,) and N=[40]'),
        ({}, dict(YOLO, in_channels=[1024, 512]), 'out_indices=(2,3) and N=[40,32]'),
        ({}, YOLO, 'out_indices=(1,2,3)'),
    ],
)
def test_necks_of_fewer_maps(backbone, neck, right):
    with pytest.raises(UserError) as error:
        _check(backbone, neck=neck)
    right = right.replace('N', 'model.neck.in_channels')
    assert str(error.value).endswith(f': give model.backbone.{right}')


def test_a_neck_that_begins_with_the_last_map():
    line = r'is \[24, 32, 40\] \(YOLOV3Neck begins with the last map\): give .*=\[40,32,24\]$'
    with pytest.raises(UserError, match=line):
        _check(LATER, neck=dict(YOLO, in_channels=[24, 32, 40]))


def test_a_map_that_is_not_there():
    with pytest.raises(UserError, match='model.decode_head.in_index is 2 and there are 2 maps'):
        _check(LAST_TWO, decode_head=dict(in_channels=40, in_index=2))


def test_wrapped_models():
    """A semi-supervised detector, say."""
    inner = dict(backbone=dict(type='SparXMamba', arch=PICO, out_indices=(3,)), neck=FPN)
    with pytest.raises(UserError, match=r'^model.detector.backbone gives maps of 40 channels'):
        check_channels(Config(dict(model=dict(type='SoftTeacher', detector=inner))))


def test_the_one_map_of_a_simple_pyramid():
    line = r'model.neck.backbone_channel is 192: give model.neck.backbone_channel=40$'
    with pytest.raises(UserError, match=line):
        _check(LAST, neck=dict(SIMPLE, backbone_channel=192))
    with pytest.raises(UserError, match=r'model.rpn_head.in_channels is 256: give .*=32$'):
        _check(LAST, neck=SIMPLE, rpn_head=dict(in_channels=256))


def test_a_head_that_reads_the_last_maps():
    """VM-UNet's encoder gives four maps that its stages read, and the last one."""
    unet = dict(type='VMUNetEncoder', arch=dict(base='tiny', embed_dims=(16, 32, 64, 128)))
    head = dict(type='VMUNetHead', in_channels=[32, 64, 128, 128])
    for index in ({}, dict(in_index=None), dict(in_index=[1, 2, 3, 4])):
        _check(unet, decode_head=dict(head, **index))
    line = r'out_indices \(0, 1, 2, 3\) and the last map\).*in_channels=\[32,64,128,128\]$'
    with pytest.raises(UserError, match=line):
        _check(unet, decode_head=dict(head, in_channels=[16, 32, 64, 128]))
    with pytest.raises(UserError, match=r'in_channels=\[16,32,64,128,128\]$'):
        _check(unet, decode_head=dict(head, in_channels=[8, 16, 32, 64, 128, 128]))
