"""A head that finds boxes: pyramid, dense head, losses and boxes of mmdet; COCO's metric."""

import contextlib
import io

import numpy as np
from mmdet.models import FPN, RTMDetHead
from mmengine.config import ConfigDict
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn

from sparx_mm.necks import SimpleFeaturePyramid

_CHANNELS = 32
_NORM = dict(type='GN', num_groups=8)
# boxes of an image that COCO's metric reads
_MAX_BOXES = 100
_TEST = dict(
    score_thr=0.05,
    nms_pre=300,
    nms=dict(type='nms', iou_threshold=0.6),
    max_per_img=_MAX_BOXES,
)
_TRAIN = dict(
    assigner=dict(type='DynamicSoftLabelAssigner', topk=13), allowed_border=-1, pos_weight=-1
)


class Detector(nn.Module):
    """Pyramid and RTMDet's head, small; its metric is the AP at an IoU of 0.5.

    Maps of one size, of a backbone without stages, become a pyramid as in ViTDet.

    Args:
        maps (Sequence[Tensor]): Maps of the backbone, for their channels and sizes.
        data (Data): Data set of the task.
    """

    def __init__(self, maps, data):
        super().__init__()
        channels = [m.shape[1] for m in maps]
        strides = [data.side // m.shape[2] for m in maps]
        if len(set(strides)) > 1:
            self.neck = FPN(channels, _CHANNELS, len(maps), norm_cfg=_NORM)
        else:
            self.neck = SimpleFeaturePyramid(channels[-1], out_channels=_CHANNELS, num_outs=4)
            strides = [int(strides[-1] * scale) for scale in (0.25, 0.5, 1, 2)]
        self.head = RTMDetHead(
            len(data.classes),
            _CHANNELS,
            with_objectness=False,
            feat_channels=_CHANNELS,
            stacked_convs=1,
            norm_cfg=_NORM,
            anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=strides),
            bbox_coder=dict(type='DistancePointBBoxCoder'),
            loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True),
            loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
            train_cfg=ConfigDict(_TRAIN),
            test_cfg=ConfigDict(_TEST),
        )
        self.neck.init_weights()
        self.head.init_weights()

    def forward(self, maps, size):
        """Return scores and distances of all levels, and what mmdet asks for of each image.

        Args:
            maps (Sequence[Tensor]): Maps of the backbone.
            size (tuple[int, int]): Height and width of the images.
        """
        levels = self.head(self.neck(maps))
        about = dict(img_shape=tuple(size), pad_shape=tuple(size))
        return [[m.float() for m in some] for some in levels], [about] * len(maps[0])

    def loss(self, outputs, labels):
        """Return the loss.

        Args:
            outputs (tuple): From `forward`.
            labels (list[InstanceData]): Boxes of each image, with their classes.
        """
        levels, about = outputs
        return sum(map(sum, self.head.loss_by_feat(*levels, labels, about).values()))

    def predict(self, outputs):
        """Return boxes, with classes and scores, for each image.

        Args:
            outputs (tuple): From `forward`.

        Returns:
            list[InstanceData]: The boxes.
        """
        levels, about = outputs
        return self.head.predict_by_feat(*levels, batch_img_metas=about)

    @staticmethod
    def metric(predicted, labels):
        """Return COCO's average precision at an IoU of 0.5, of boxes of all sizes.

        Args:
            predicted (list[InstanceData]): From `predict`, for each image.
            labels (list[InstanceData]): Boxes of each image, with their classes.
        """
        # it prints
        with contextlib.redirect_stdout(io.StringIO()):
            evaluator = COCOeval(_to_coco(labels), _to_coco(predicted), 'bbox')
            params = evaluator.params
            params.iouThrs, params.maxDets = np.array([0.5]), [_MAX_BOXES]
            params.areaRng, params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]
            evaluator.evaluate()
            evaluator.accumulate()
        precision = evaluator.eval['precision']
        # -1 of classes without a box
        return precision[precision >= 0].mean().item()


def _to_coco(instances):
    """Return boxes as COCO's evaluation reads them, from memory."""
    rows = []
    for image, one in enumerate(instances):
        # it reads no scores of labels
        scores = one.get('scores', one.labels)
        for box, label, score in zip(*(t.tolist() for t in (one.bboxes, one.labels, scores))):
            left, top, right, bottom = box
            width, height = right - left, bottom - top
            row = dict(bbox=[left, top, width, height], area=width * height, iscrowd=0)
            # ids from 1, because 0 is a box that is not found
            row.update(id=len(rows) + 1, image_id=image, category_id=label, score=score)
            rows.append(row)
    coco = COCO()
    coco.dataset = dict(
        images=[dict(id=image) for image in range(len(instances))],
        categories=[dict(id=label) for label in {row['category_id'] for row in rows}],
        annotations=rows,
    )
    coco.createIndex()
    return coco
