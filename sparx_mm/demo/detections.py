"""How instances are shown: masks, boxes, classes and scores."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmengine.structures import BaseDataElement, InstanceData

from .canvas import BLACK, FONT, WHITE


class DetectionPainter:
    """Paints the instances of a detector's samples.

    Args:
        names (Sequence[str]): Of the classes.
        score_thr (float): Lowest score that is painted.
    """

    def __init__(self, names: Sequence[str], score_thr: float) -> None:
        self.names = names
        self.score_thr = score_thr
        self.title = f'prediction (score at least {score_thr:g})'

    def paint(self, image: np.ndarray, sample: BaseDataElement) -> tuple[np.ndarray, np.ndarray]:
        """Paint a sample.

        Args:
            image (ndarray): Its image at any scale: BGR, uint8, (H, W, 3).
            sample (BaseDataElement): With ``gt_instances`` and
                ``pred_instances``, at the scale of ``ori_shape``.

        Returns:
            tuple[ndarray]: The image with the ground truth, and with the
            prediction: BGR, uint8, (H, W, 3).
        """
        height, width = sample.ori_shape
        # x and y apart: a side is at least a pixel
        scale = image.shape[1] / width, image.shape[0] / height
        found = sample.pred_instances
        found = found[found.scores >= self.score_thr]
        return (self._paint(image, sample.gt_instances, scale), self._paint(image, found, scale))

    def legend(self) -> list:
        """Nothing: each instance bears its name."""
        return []

    def _paint(self, image, instances, scale):
        image = image.copy()
        labels = instances.labels.tolist()
        for label, mask in zip(labels, _masks(instances)):
            mask = cv2.resize(mask.astype(np.uint8), image.shape[1::-1])
            color = self._color(label)
            image[mask > 0] = 0.5 * image[mask > 0] + 0.5 * np.array(color)
            lines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(image, lines, -1, color, 2)
        boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
        boxes = boxes * boxes.new_tensor([*scale, *scale])
        boxes = boxes.round().int().tolist()
        scores = instances.get('scores', [None] * len(labels))
        for label, score, box in zip(labels, scores, boxes):
            text = self.names[label]
            text += '' if score is None else f' {score:.2f}'
            cv2.rectangle(image, box[:2], box[2:], self._color(label), 1)
            x, y = max(box[0], 2), max(box[1] - 3, 10)
            # white on a black edge reads on any background
            cv2.putText(image, text, (x, y), FONT, 0.4, BLACK, 3, cv2.LINE_AA)
            cv2.putText(image, text, (x, y), FONT, 0.4, WHITE, 1, cv2.LINE_AA)
        return image

    def _color(self, label):
        hsv = np.uint8([[[label * 180 // len(self.names), 255, 230]]])
        return tuple(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].tolist())


def _masks(instances: InstanceData) -> np.ndarray:
    """(N, H, W), N = 0 for a detector without masks."""
    masks = instances.get('masks', ())
    # ground truth has them in mmdet's BitmapMasks
    return np.asarray(getattr(masks, 'masks', masks))
