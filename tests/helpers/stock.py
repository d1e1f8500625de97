"""Stock configs of the libraries with their backbones exchanged, and small sets in their layouts."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from archs import PICO, PICO_VMAMBA
from mmengine.config import Config

from sparx_mm.config_nodes import walk
from sparx_mm.demo import CLASSES

# one of each kind: heads, necks, wrappers, loops, losses, data sets
STOCK = dict(
    mmdet=[
        'albu_example/mask-rcnn_r50_fpn_albu-1x_coco.py',
        'atss/atss_r101_fpn_1x_coco.py',
        'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
        'condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py',
        'detr/detr_r50_8xb2-500e_coco.py',
        'dino/dino-4scale_r50_8xb2-24e_coco.py',
        'fcos/fcos_r101-caffe_fpn_gn-head_ms-640-800-2x_coco.py',
        'groie/mask-rcnn_r101_fpn_syncbn-r4-gcb_c3-c5-groie_1x_coco.py',
        'libra_rcnn/libra-fast-rcnn_r50_fpn_1x_coco.py',
        'maskformer/maskformer_r50_ms-16xb1-75e_coco.py',
        'pafpn/faster-rcnn_r50_pafpn_1x_coco.py',
        'panoptic_fpn/panoptic-fpn_r101_fpn_ms-3x_coco.py',
        'pascal_voc/ssd300_voc0712.py',
        'rtmdet/rtmdet_x_p6_4xb8-300e_coco.py',
        'seesaw_loss/mask-rcnn_r101_fpn_seesaw-loss_sample1e-3-ms-2x_lvis-v1.py',
        'simple_copy_paste/mask-rcnn_r50_fpn_rpn-2conv_4conv1fc_syncbn-all_32xb2-ssj-270k_coco.py',
        'soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.05-coco.py',
        'solo/decoupled-solo_r50_fpn_3x_coco.py',
        'sparse_rcnn/sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco.py',
        'yolof/yolof_r50-c5_8xb8-1x_coco.py',
        'yolox/yolox_l_8xb8-300e_coco.py',
    ],
    mmseg=[
        'deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-769x769.py',
        'encnet/encnet_r50-d8_4xb4-80k_ade20k-512x512.py',
        'danet/danet_r101-d8_4xb4-80k_ade20k-512x512.py',
        'knet/knet-s3_r50-d8_pspnet_8xb2-adamw-80k_ade20k-512x512.py',
        'mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py',
        'ocrnet/ocrnet_hr18s_4xb4-80k_ade20k-512x512.py',
        'point_rend/pointrend_r101_4xb4-160k_ade20k-512x512.py',
        'pspnet/pspnet_r18-d8_4xb4-80k_loveda-512x512.py',
        'segformer/segformer_mit-b1_8xb1-160k_cityscapes-1024x1024.py',
        'sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py',
        'swin/swin-large-patch4-window7-in22k-pre_upernet_8xb2-160k_ade20k-512x512.py',
        'unet/unet-s5-d16_fcn_4xb4-40k_hrf-256x256.py',
        'vit/vit_deit-s16-ln_mln_upernet_8xb2-160k_ade20k-512x512.py',
    ],
    mmpretrain=[
        'arcface/resnet50-arcface_8xb32_inshop.py',
        'convnext/convnext-tiny_32xb128_in1k-384px.py',
        'csra/resnet101-csra_1xb16_voc07-448px.py',
        'mae/benchmarks/vit-large-p16_8xb128-fsdp-coslr-50e_in1k.py',
        'mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py',
        'resnet/resnet50_8xb256-rsb-a1-600e_in1k.py',
        'simsiam/simsiam_resnet50_8xb32-coslr-200e_in1k.py',
        'swin_transformer/swin-large_8xb8_cub-384px.py',
    ],
)
# out_indices of backbones that have others in place, by a part of the name
LAST = ('mmpretrain', 'yolof', '/detr_')
DIMS = PICO['embed_dims']


def stock_config(library, name) -> Config:
    """Load a stock config with a pico backbone of ours.

    Args:
        library (str): ``'mmdet'``, ``'mmseg'`` or ``'mmpretrain'``.
        name (str): One of `STOCK`.
    """
    root = Path(find_spec(library).origin).parent / '.mim/configs'
    cfg = Config.fromfile(str(root / name))
    exchange_backbone(cfg.model, f'{library}/{name}')
    cfg.load_from = None
    return cfg


def exchange_backbone(model, name) -> None:
    """Exchange the backbones of a model, or of those within it, and fit what reads them."""
    kind, arch = ('VMamba', PICO_VMAMBA) if len(name) % 2 else ('SparXMamba', PICO)
    for _, inner in list(walk(model)):
        # weights of the backbone before; users are told so, tests/run/test_mistakes.py
        for key in ('pretrained', 'init_cfg'):
            inner.pop(key, None)
        given = inner.get('backbone')
        if isinstance(given, dict):
            stages = given.get('out_indices', (0, 1, 2, 3))
            stages = [s for s in stages if s < 4] if isinstance(stages, (list, tuple)) else []
            if len(stages) < 2 or name.startswith('mmseg'):
                stages = (0, 1, 2, 3)
            stages = (3,) if any(part in name for part in LAST) else tuple(stages)
            inner['backbone'] = dict(type=kind, arch=dict(arch), out_indices=stages)
            fit_channels(inner, [DIMS[i] for i in stages])
        elif 'image_encoder' in inner:
            # a retriever's is a list of backbone and neck
            inner['image_encoder'][0] = dict(type=kind, arch=dict(arch), out_indices=(3,))
            inner['head']['in_channels'] = DIMS[3]


def fit_channels(model, maps) -> None:
    """Give necks, and heads without one, the channels of the maps."""
    neck = model.get('neck')
    first = neck[0] if isinstance(neck, (list, tuple)) else neck
    if first and 'in_channels' in first:
        several = isinstance(first['in_channels'], (list, tuple))
        first['in_channels'] = list(maps) if several else maps[-1]
        if first.get('type') in ('MultiLevelNeck',):
            return
    if neck and (first.get('type') not in ('GlobalAveragePooling',)):
        return
    for name in ('decode_head', 'auxiliary_head', 'panoptic_head', 'head'):
        heads = model.get(name) or []
        for head in heads if isinstance(heads, (list, tuple)) else [heads]:
            if 'in_channels' not in head:
                continue
            several = isinstance(head['in_channels'], (list, tuple))
            index = head.get('in_index', list(range(len(maps))) if several else -1)
            # of backbones with more stages
            last = len(maps) - 1
            if several:
                index = [min(i, last) for i in index]
                head['in_channels'] = [maps[i] for i in index]
            else:
                index = min(index, last)
                head['in_channels'] = maps[index]
            if 'in_index' in head:
                head['in_index'] = index


def make_coco(root, shapes) -> None:
    """Write a drawn set as COCO's train2017 and val2017, with its 80 categories.

    Objects are outlined by their boxes.

    Args:
        root (Path): Its folder.
        shapes (Path): The drawn set.
    """
    from mmdet.datasets import CocoDataset

    names = CocoDataset.METAINFO['classes']
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(names)]
    (root / 'annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        shutil.copytree(shapes / split, root / f'{split}2017')
        content = json.loads((shapes / f'annotations/instances_{split}.json').read_text())
        assert len(content['categories']) == len(CLASSES)
        content['categories'] = categories
        # as in COCO polygons, which some configs cannot do without
        for instance in content['annotations']:
            x, y, width, height = instance['bbox']
            right, bottom = x + width, y + height
            instance['segmentation'] = [[x, y, right, y, right, bottom, x, bottom]]
        (root / f'annotations/instances_{split}2017.json').write_text(json.dumps(content))


def make_cityscapes(root) -> None:
    """Write a set of two random images a split in Cityscapes' layout.

    Args:
        root (Path): Its folder.
    """
    pixels = np.random.default_rng(0)
    for split in ('train', 'val'):
        for folder in ('leftImg8bit', 'gtFine'):
            (root / folder / split / 'ulm').mkdir(parents=True)
        for i in range(2):
            name = f'{split}/ulm/ulm_{i}'
            image = pixels.integers(0, 255, (64, 96, 3), np.uint8)
            cv2.imwrite(str(root / f'leftImg8bit/{name}_leftImg8bit.png'), image)
            labels = pixels.integers(0, 19, (64, 96), np.uint8)
            cv2.imwrite(str(root / f'gtFine/{name}_gtFine_labelTrainIds.png'), labels)


def make_imagenet_1k(root) -> None:
    """Write a set of a thousand folders with one image each.

    Args:
        root (Path): Its folder.
    """
    _, image = cv2.imencode('.JPEG', np.zeros((32, 32, 3), np.uint8))
    for split in ('train', 'val'):
        for i in range(1000):
            folder = root / split / f'n{i:08d}'
            folder.mkdir(parents=True)
            (folder / 'a.JPEG').write_bytes(image.tobytes())
