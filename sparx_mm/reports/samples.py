"""Data samples of the libraries: what is drawn of them, and how."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from ..demo.predictions import detection_visualizer, segmentation_visualizer
from ..demo.samples import enlarge_sample
from ..demo.sheet import draw_legend, enlarge
from ..errors import UserError
from .judging import SCORE_THR, tensor_of

# pixels: least height that names of classes can be read at
MIN_HEIGHT = 384


def keep_sample(sample: dict) -> BaseDataElement:
    """Copy what a picture shows of a metric's sample, to the CPU.

    Args:
        sample (dict): Data sample of a detector, a segmentor or a classifier.

    Returns:
        BaseDataElement: Ground truth and predictions; instances are those from `SCORE_THR` on.
    """
    kept = BaseDataElement(metainfo=dict(ori_shape=sample.get('ori_shape')))
    if 'pred_instances' in sample:
        guess = InstanceData(**_fields(sample['pred_instances']))
        kept.gt_instances = InstanceData(**_fields(sample['gt_instances']))
        kept.pred_instances = guess[guess.scores >= SCORE_THR].cpu()
    elif 'pred_sem_seg' in sample:
        for name in ('gt_sem_seg', 'pred_sem_seg'):
            # 16 bits hold any label, an eighth of the memory
            labels = sample[name]['data'].cpu().to(torch.int16)
            kept.set_data({name: PixelData(data=labels)})
    else:
        for name in ('gt_label', 'pred_label', 'pred_score'):
            kept.set_data({name: sample[name].cpu()})
    return kept


def _fields(instances: dict) -> dict:
    fields = {k: instances[k] for k in ('bboxes', 'labels', 'scores', 'masks') if k in instances}
    if isinstance(fields.get('masks'), list):
        # encoded already, as some detectors return them
        del fields['masks']
    return fields


class Painter:
    """Draws samples through the visualizers of their libraries.

    Args:
        metainfo (dict): Classes and palette of the data set.
    """

    def __init__(self, metainfo: dict) -> None:
        self.metainfo = metainfo
        self._visualizers: dict = {}

    def draw(self, image: np.ndarray, sample: BaseDataElement, truth: bool) -> np.ndarray:
        """Draw the ground truth or the predictions of a sample.

        Args:
            image (ndarray): Image of shape (H, W, 3): BGR, uint8.
            sample (BaseDataElement): Sample at the scale of its ``ori_shape``.
            truth (bool): Draw the ground truth, else the predictions.

        Returns:
            ndarray: Picture, BGR, uint8, at least `MIN_HEIGHT` high unless it is elongated.

        Raises:
            UserError: If the sample has nothing that can be drawn.
        """
        image = enlarge(image, max(len(image), MIN_HEIGHT))
        side = 'gt' if truth else 'pred'
        options = dict(draw_gt=truth, draw_pred=not truth)
        if f'{side}_instances' in sample:
            boxes = sample.get(f'{side}_instances').get('bboxes')
            rotated = boxes is not None and boxes.shape[-1] == 5
            visualizer = self._visualizer('rotated' if rotated else 'instances')
            scale = _enlarge_rotated if rotated else enlarge_sample
            sample = scale(sample, image.shape[:2])
            options['pred_score_thr'] = 0
        elif f'{side}_sem_seg' in sample:
            visualizer = self._visualizer('label map')
            # grey, because colors of the image would mix with those of classes
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None].repeat(3, axis=2)
            sample = enlarge_sample(sample, image.shape[:2])
            # names would be drawn past the ends of small images: see the legend
            options['with_labels'] = False
        elif f'{side}_label' in sample:
            visualizer = self._visualizer('label')
            drawn = visualizer.visualize_cls(image[..., ::-1], sample, **options)
            return np.ascontiguousarray(drawn[..., ::-1])
        else:
            raise UserError('the samples have no boxes, label maps or labels that can be drawn')
        # mm's visualizers take and return RGB
        visualizer.add_datasample('', image[..., ::-1], sample, **options)
        return np.ascontiguousarray(visualizer.get_image()[..., ::-1])

    def legend(self, samples: Sequence[BaseDataElement], width: int) -> np.ndarray | None:
        """Draw the names and colors of the classes in label maps.

        Args:
            samples (Sequence[BaseDataElement]): Samples.
            width (int): Width in pixels.

        Returns:
            ndarray: Legend of shape (H, width, 3): BGR, uint8. None if instances are drawn,
            whose names are beside them, or labels.
        """
        names, palette = self.metainfo.get('classes') or (), self.metainfo.get('palette')
        maps = [
            sample.get(key)
            for sample in samples
            for key in ('gt_sem_seg', 'pred_sem_seg')
            if key in sample and 'gt_instances' not in sample
        ]
        if not maps or not palette:
            return None
        labels = np.unique(np.concatenate([np.unique(m.data.numpy()) for m in maps])).tolist()
        entries = [(names[n], palette[n][::-1]) for n in labels if 0 <= n < len(names)]
        return draw_legend(entries, width)

    def _visualizer(self, kind):
        if kind not in self._visualizers:
            # imported lazily: each needs its library alone
            if kind == 'instances':
                made = detection_visualizer()
            elif kind == 'label map':
                made = segmentation_visualizer()
            elif kind == 'rotated':
                made = _rotated_visualizer()
            else:
                from mmpretrain.visualization import UniversalVisualizer

                made = UniversalVisualizer()
            made.dataset_meta = self.metainfo
            self._visualizers[kind] = made
        return self._visualizers[kind]


def _enlarge_rotated(sample: BaseDataElement, shape: tuple[int, int]) -> BaseDataElement:
    """Scale the rotated boxes of a sample as `enlarge_sample` does others."""
    large = BaseDataElement()
    scale = shape[0] / sample.ori_shape[0]
    for name in ('gt_instances', 'pred_instances'):
        instances = sample.get(name)
        if instances is not None:
            boxes = tensor_of(instances.bboxes).clone()
            boxes[:, :4] *= scale
            data = InstanceData(bboxes=boxes, labels=instances.labels)
            if 'scores' in instances:
                data.scores = instances.scores
            large.set_data({name: data})
    return large


def _rotated_visualizer():
    from matplotlib import rc_context
    from mmrotate.visualization import RotLocalVisualizer

    class Framed(RotLocalVisualizer):
        def set_image(self, image):
            super().set_image(image)
            # matplotlib would shrink an image that a box leaves
            self.ax_save.autoscale(False)

    # names are written as large as in mmdet's pictures
    with rc_context({'figure.dpi': 160}):
        return Framed(line_width=1)


def read_picture(path: str, shape: tuple[int, int] | None = None) -> np.ndarray | None:
    """Read an image file in color, None if it cannot be read.

    Args:
        path (str): File, or an address that mmengine reads.
        shape (tuple[int, int], optional): Height and width that it was loaded with, which
            tell if EXIF has turned it. None: as OpenCV loads it. Default: None.

    Returns:
        ndarray: Image of shape (H, W, 3): BGR, uint8.
    """
    from mmengine import fileio

    try:
        content = np.frombuffer(fileio.get(path), np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_COLOR)
        if shape is not None and image.shape[:2] == tuple(shape)[:2][::-1]:
            stored = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            image = cv2.imdecode(content, stored)
        return image
    except Exception:
        # whatever a storage raises: the picture is left out of a report
        return None
