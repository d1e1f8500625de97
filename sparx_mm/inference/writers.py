"""Files of predictions: COCO JSON, index PNGs, and JSON lines."""

import json
import logging
import os.path as osp

import cv2
import numpy as np
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement

from ..checkpoint_io import write_text
from ..demo.predictions import write_picture
from ..engine.evaluation.label_maps import file_ids
from ..errors import UserError
from .boxes import find_boxes
from .places import find_place
from .scenes import find_ground, loses_ground, write_geotiff


class CocoWriter:
    """One file in COCO's format, with a score for each annotation.

    ``pycocotools.coco.COCO`` reads it, and so do programs for labelling. Its categories are
    1, 2, ... in the order of the classes.

    Args:
        folder (str): Folder of the file ``predictions.json``.
        metainfo (dict): ``classes``.
    """

    def __init__(self, folder: str, metainfo: dict) -> None:
        self.path = osp.join(folder, 'predictions.json')
        self._content = dict(
            images=[],
            annotations=[],
            categories=[dict(id=i, name=name) for i, name in enumerate(metainfo['classes'], 1)],
        )

    def add(self, name: str, shape: tuple[int, int], sample: BaseDataElement) -> None:
        """Add what was predicted of an image.

        Args:
            name (str): Its relative path.
            shape (tuple[int, int]): Its height and width.
            sample (BaseDataElement): Its data sample.
        """
        images, annotations = self._content['images'], self._content['annotations']
        image = dict(id=len(images) + 1, file_name=name, height=shape[0], width=shape[1])
        images.append(image)
        found = sample.get('pred_instances', {})
        boxes = find_boxes(found) if 'bboxes' in found else ()
        for i, label in enumerate(found.get('labels', np.empty(0)).tolist()):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image['id'],
                    category_id=label + 1,
                    score=round(float(found.scores[i]), 6),
                    iscrowd=0,
                    **_describe(boxes[i].tolist(), found.masks[i] if 'masks' in found else None),
                )
            )

    def close(self) -> None:
        """Write the file."""
        write_text(self.path, json.dumps(self._content))


def _describe(box: list[float], mask) -> dict:
    """Return the keys of an annotation that say where an instance is."""
    if len(box) == 5:
        # rotated: the rectangle around it as the box, and its corners as the polygon
        x, y, width, height, angle = box
        corners = cv2.boxPoints(((x, y), (width, height), np.degrees(angle)))
        (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
        polygon = [round(v, 2) for v in corners.flatten().tolist()]
        where = dict(segmentation=[polygon], area=width * height, rotated_box=box)
        return dict(bbox=_rounded([left, top, right - left, bottom - top]), **where)
    where = {}
    if mask is not None:
        # imported lazily: models without masks need no pycocotools
        from pycocotools import mask as rle

        coded = rle.encode(np.asfortranarray(np.asarray(mask), dtype=np.uint8))
        where['area'] = float(rle.area(coded))
        where['segmentation'] = dict(size=coded['size'], counts=coded['counts'].decode())
    left, top, right, bottom = box
    where.setdefault('area', (right - left) * (bottom - top))
    return dict(bbox=_rounded([left, top, right - left, bottom - top]), **where)


def _rounded(values):
    return [round(value, 2) for value in values]


class LabelMapWriter:
    """An index PNG for each image, with the ids of the data set's own files.

    That of a GeoTIFF is a GeoTIFF in the same place on the ground, if rasterio is installed.

    Args:
        folder (str): Folder whose subfolder ``labels`` gets the files.
        metainfo (dict): ``classes``, and perhaps ``label_map`` and ``reduce_zero_label``.
    """

    def __init__(self, folder: str, metainfo: dict) -> None:
        self.path = osp.join(folder, 'labels')
        self._ids, self._used = file_ids(metainfo), {}

    def add(self, name: str, shape: tuple[int, int], sample: BaseDataElement) -> None:
        """Write the label map of an image; see `CocoWriter.add`.

        Args:
            name (str): Its relative path.
            shape (tuple[int, int]): Its height and width.
            sample (BaseDataElement): Its data sample.
        """
        # imported lazily, as in DumpLabelMaps
        from PIL import Image

        source = sample.get('img_path')
        ground = find_ground(source)
        path = find_place(self.path, name, '.tif' if ground else '.png', self._used)
        # not copied, because that of a scene has gigabytes
        labels = np.asarray(sample.pred_sem_seg.data.numpy().reshape(shape), np.int64)
        if ground:
            write_geotiff(path, self._ids[labels], ground)
            return
        if loses_ground(source):
            print_log(
                f'{path} does not say where {source} is on the ground: pip install rasterio for a '
                'GeoTIFF that does',
                'current',
                logging.WARNING,
            )
        Image.fromarray(self._ids[labels]).save(path)

    def close(self) -> None:
        """Do nothing: all files are written."""


class LineWriter:
    """A line of JSON for each image: its class, the score, and the five best classes.

    Args:
        folder (str): Folder of the file ``predictions.jsonl``.
        metainfo (dict): ``classes``.
    """

    def __init__(self, folder: str, metainfo: dict) -> None:
        self.path = osp.join(folder, 'predictions.jsonl')
        self._classes = metainfo['classes']
        # lines of a run that is killed are there
        self._file = open(self.path, 'w', buffering=1, encoding='utf-8')

    def add(self, name: str, shape: tuple[int, int], sample: BaseDataElement) -> None:
        """Write the line of an image; see `CocoWriter.add`.

        Args:
            name (str): Its relative path.
            shape (tuple[int, int]): Not used.
            sample (BaseDataElement): Its data sample.
        """
        scores = sample.pred_score
        best = scores.topk(min(5, len(scores)))
        top = [
            {'class': self._classes[i], 'label': i, 'score': round(score, 6)}
            for score, i in zip(best.values.tolist(), best.indices.tolist())
        ]
        self._file.write(json.dumps(dict(file_name=name, **top[0], top=top)) + '\n')

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class DrawnWriter:
    """Pictures of predictions, and videos of the frames of videos.

    Args:
        folder (str): Folder whose subfolder ``drawn`` gets the files.
    """

    def __init__(self, folder: str) -> None:
        self.path = osp.join(folder, 'drawn')
        self._video, self._name, self._used = None, '', {}
        self._file, self._frames = '', 0

    def add(self, frame, picture: np.ndarray) -> None:
        """Write a picture.

        Args:
            frame (Frame): The frame that it is of.
            picture (ndarray): BGR of shape (H, W, 3).

        Raises:
            UserError: If it cannot be written.
        """
        if frame.video:
            self._add_to_video(frame, picture)
            return
        ending = osp.splitext(frame.name)[1]
        # other formats may have one channel
        kept = ending.lower() in ('.jpg', '.jpeg', '.png')
        path = find_place(self.path, frame.name, ending if kept else '.png', self._used)
        write_picture(path, picture)

    def _add_to_video(self, frame, picture) -> None:
        if frame.video != self._name:
            self.close()
            self._file, self._frames = find_place(self.path, frame.video, '.mp4', self._used), 0
            self._video = _open_video(self._file, frame.fps, picture.shape[1::-1])
            self._name = frame.video
        self._video.write(np.ascontiguousarray(picture))
        self._frames += 1

    def close(self) -> None:
        """Finish the video that is being written.

        Raises:
            UserError: If the file has not all of its frames.
        """
        video, self._video, self._name = self._video, None, ''
        if video is None:
            return
        video.release()
        # read again, because OpenCV says nothing of a write that failed
        film = cv2.VideoCapture(self._file)
        count = int(film.get(cv2.CAP_PROP_FRAME_COUNT))
        film.release()
        if count < self._frames:
            raise UserError(f'the video {self._file} cannot be written: is the disk full?')


def _open_video(path: str, fps: float, size: tuple[int, int]) -> cv2.VideoWriter:
    code = cv2.VideoWriter_fourcc(*'mp4v')
    # mp4v counts in whole fractions, which of 119.873 frames a second are too fine
    for rate in (fps, round(fps)):
        video = cv2.VideoWriter(path, code, rate, size)
        if video.isOpened():
            return video
    raise UserError(
        f'the video {path} cannot be written: is the disk full, or OpenCV without an encoder?'
    )


WRITERS = dict(detection=CocoWriter, segmentation=LabelMapWriter, classification=LineWriter)
