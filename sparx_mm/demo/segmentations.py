"""How label maps are shown: classes in the colors of their data set."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmengine.structures import BaseDataElement

# of a class's color in a pixel; the rest is the image
OPACITY = 0.6


class SegmentationPainter:
    """Paints the label maps of a segmentor's samples.

    A pixel whose label is none of the classes, such as 255 where the ground
    truth ignores it, is left as it is.

    Args:
        names (Sequence[str]): Of the classes.
        palette (Sequence[Sequence[int]]): Their colors: RGB, 0 to 255.
    """

    title = 'prediction'

    def __init__(self, names: Sequence[str], palette: Sequence[Sequence[int]]) -> None:
        self.names = names
        # (classes, 3), BGR as the images
        self.colors = np.array(palette, np.uint8)[:, ::-1]
        # pixels painted, by class
        self.areas = np.zeros(len(names), np.int64)

    def paint(self, image: np.ndarray, sample: BaseDataElement) -> tuple[np.ndarray, np.ndarray]:
        """Paint a sample.

        Args:
            image (ndarray): Its image at any scale: BGR, uint8, (H, W, 3).
            sample (BaseDataElement): With ``gt_sem_seg`` and
                ``pred_sem_seg``, both of any size.

        Returns:
            tuple[ndarray]: The image with the ground truth, and with the
            prediction: BGR, uint8, (H, W, 3).
        """
        return (self._paint(image, sample.gt_sem_seg), self._paint(image, sample.pred_sem_seg))

    def legend(self) -> list[tuple[str, np.ndarray]]:
        """Names and colors (BGR) of what was painted, the largest first."""
        order = np.argsort(-self.areas, kind='stable')
        return [(self.names[i], self.colors[i]) for i in order if self.areas[i]]

    def _paint(self, image, seg):
        # (1, h, w) -> (h, w), in a type that cv2 can resize
        labels = seg.data.numpy()[0].astype(np.uint16)
        labels = cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        painted = labels < len(self.names)
        labels = labels[painted]
        self.areas += np.bincount(labels, minlength=len(self.names))
        # over its greys: colors of the image would mix with those of classes
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[painted, None]
        mixed = image.copy()
        mixed[painted] = (1 - OPACITY) * grey + OPACITY * self.colors[labels]
        return mixed
