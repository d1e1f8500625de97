"""A model that predicts images: the same for detectors, segmentors and classifiers."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.structures import BaseDataElement
from torch import nn

from ..errors import UserError
from ..libraries import find_library
from . import tiled
from .drawing import make_painter
from .pipeline import Preparation, Unreadable
from .scenes import Scene, open_scene
from .sources import Frame, find_sources
from .tiles import Tile, check_tiling, tile_rows

Image = str | os.PathLike | np.ndarray
# most pixels on a side of a drawn label map
DRAWN = 4096
_MEMORY = 'give a smaller batch size, or --tile SIZE for large images'


class Predictor:
    """Predict images with a detector, a segmentor or a classifier.

    `sparx_mm.load` makes one from a config and a checkpoint.

    Args:
        model (nn.Module): The model, or one for test-time augmentation around it.
        cfg (Config): Its whole config.
        metainfo (dict): ``classes`` and ``palette`` of what it was trained on, and more as the
            data sets of its library give it.
        steps (list[dict]): The pipeline for tests.

    Attributes:
        task (str): ``'detection'``, ``'segmentation'`` or ``'classification'``.
        classes (tuple[str, ...]): Names of the classes.

    Example:
        >>> predictor = sparx_mm.load('config.py', 'epoch_12.pth')
        >>> for sample in predictor.predict('images/'):
        ...     print(sample.img_path, sample.pred_instances.scores)
    """

    def __init__(self, model: nn.Module, cfg: Config, metainfo: dict, steps: list[dict]) -> None:
        self.model, self.cfg, self.metainfo = model.eval(), cfg, metainfo
        self.task = find_library(cfg).task
        self.classes = tuple(metainfo['classes'])
        self._preparation = Preparation(steps)
        self._painter = None

    def predict(
        self,
        images: Image | Sequence[Image],
        batch_size: int = 1,
        score_thr: float = 0.0,
        tile: int | None = None,
        overlap: float = 0.2,
    ) -> list[BaseDataElement]:
        """Predict images.

        Args:
            images (str, ndarray or a list of them): Whatever `find_sources` takes, or pixels as
                OpenCV gives them: BGR, uint8, of shape (H, W, 3); gray (H, W) is widened.
            batch_size (int): Images or tiles of equal size that run at once. Default: 1.
            score_thr (float): Score that instances need. Default: 0.
            tile (int, optional): Side of the tiles that an image is cut into, in pixels. None
                for whole images. Default: None.
            overlap (float): Part of a tile that its neighbour has too. Default: 0.2.

        Returns:
            list[BaseDataElement]: The library's own data sample of each image, on the CPU, in
            order: ``pred_instances``, ``pred_panoptic_seg``, ``pred_sem_seg``, or ``pred_label``
            and ``pred_score``.

        Raises:
            UserError: If an image cannot be read, or an option is out of range.
        """
        samples = []
        options = dict(batch_size=batch_size, score_thr=score_thr, tile=tile, overlap=overlap)
        for frame, _, sample in self.stream(_frames(images), **options):
            if sample is None:
                raise UserError(frame.fault)
            samples.append(sample)
        return samples

    def stream(
        self,
        frames: Iterable[Frame],
        batch_size: int = 1,
        score_thr: float = 0.0,
        tile: int | None = None,
        overlap: float = 0.2,
    ) -> Iterator[tuple[Frame, np.ndarray | None, BaseDataElement | None]]:
        """Predict a stream of frames without keeping them.

        Args:
            frames (Iterable[Frame]): The frames.
            batch_size (int): See `predict`. Default: 1.
            score_thr (float): See `predict`. Default: 0.
            tile (int, optional): See `predict`. Default: None.
            overlap (float): See `predict`. Default: 0.2.

        Yields:
            tuple: Each frame in order, its loaded pixels (a `Scene` for a TIFF that is read by
            windows), and its data sample. The last two are None if the frame has a fault.

        Raises:
            UserError: If an option is out of range, or if memory does not suffice.
        """
        if batch_size < 1:
            raise UserError(f'the batch size is at least 1, got {batch_size}')
        check_tiling(tile, overlap)
        if tile is not None:
            tiled.check_model(self.model, self.task)
            for number, frame in enumerate(frames):
                yield self._predict_tiled(frame, number, batch_size, score_thr, tile, overlap)
            return
        frames = enumerate(frames)
        while batch := list(islice(frames, batch_size)):
            loaded = [self._load(frame, number) for number, frame in batch]
            prepared = [data for _, _, data in loaded if data is not None]
            found = iter(self._forward(prepared))
            for frame, pixels, data in loaded:
                sample = None
                if data is not None:
                    sample = _above(next(found), score_thr)
                    # 150 floats a pixel
                    sample.pop('seg_logits', None)
                yield frame, pixels, sample

    def draw(self, pixels: np.ndarray, sample: BaseDataElement, score_thr: float = 0.3):
        """Draw a prediction with the library's own visualizer.

        A label map of more than `DRAWN` pixels a side is drawn smaller.

        Args:
            pixels (ndarray or Scene): The image: BGR of shape (H, W, 3).
            sample (BaseDataElement): What was predicted of it.
            score_thr (float): Score above which instances are drawn. Default: 0.3.

        Returns:
            ndarray: The picture: BGR of shape (H, W, 3), uint8.
        """
        if self._painter is None:
            self._painter = make_painter(self.cfg, self.metainfo)
        if 'pred_sem_seg' in sample:
            pixels, sample = _shrink(pixels, sample)
        return self._painter(pixels, sample, score_thr)

    def _load(self, frame: Frame, number: int):
        """Return a frame, its pixels and what the model takes; None twice if it has a fault."""
        try:
            sample = self._open(frame)
            # a transform may change an array in place
            return frame, sample['img'].copy(), self._preparation.prepare(sample, number)
        except Unreadable as error:
            return frame._replace(fault=str(error)), None, None

    @torch.no_grad()
    def _forward(self, prepared: list[dict]) -> list[BaseDataElement]:
        """Run the model, on inputs of one size at once.

        Without padding to the largest, what is predicted of an image does not depend on
        the others of its batch.
        """
        order = sorted(range(len(prepared)), key=lambda i: _shapes(prepared[i]))
        found: list[Any] = [None] * len(prepared)
        try:
            for _, indices in groupby(order, key=lambda i: _shapes(prepared[i])):
                indices = list(indices)
                samples = self.model.test_step(pseudo_collate([prepared[i] for i in indices]))
                for i, sample in zip(indices, samples):
                    found[i] = sample.cpu()
        except torch.OutOfMemoryError as error:
            raise UserError(f'the GPU has too little memory for these images: {_MEMORY}') from error
        return found

    def _predict_tiled(self, frame, number, batch_size, score_thr, side, overlap):
        try:
            sample = self._open_scene(frame) or self._open(frame)
            pixels, path = sample['img'], sample.get('img_path')

            def run(tiles: Iterable[Tile]) -> Iterator[BaseDataElement]:
                tiles = iter(tiles)
                while batch := list(islice(tiles, batch_size)):
                    crops = [self._preparation.sample(one.crop(pixels), path) for one in batch]
                    crops = [self._preparation.prepare(crop, number) for crop in crops]
                    yield from (_above(one, score_thr) for one in self._forward(crops))

            shape = pixels.shape[:2]
            rows = tile_rows(*shape, side, overlap)
            if self.task == 'detection':
                return frame, pixels, tiled.detect(shape, rows, run)
            threshold = getattr(self.model.decode_head, 'threshold', None)
            return frame, pixels, tiled.segment(shape, rows, run, threshold)
        except Unreadable as error:
            return frame._replace(fault=str(error)), None, None

    def _open_scene(self, frame: Frame) -> dict | None:
        """Open a large label map's image without reading it, where that gives the same pixels."""
        if self.task != 'segmentation' or not self._preparation.takes_windows:
            return None
        scene = None if isinstance(frame.image, np.ndarray) else open_scene(frame.image)
        return None if scene is None else dict(img=scene, img_path=str(frame.image))

    def _open(self, frame: Frame) -> dict:
        if frame.image is None:
            raise Unreadable(frame.fault)
        return self._preparation.load(frame.image)


def _above(sample: BaseDataElement, score_thr: float) -> BaseDataElement:
    """Drop instances below a score."""
    if score_thr > 0 and 'pred_instances' in sample:
        found = sample.pred_instances
        sample.pred_instances = found[found.scores >= score_thr]
    return sample


def _shrink(pixels: np.ndarray | Scene, sample: BaseDataElement):
    """Leave out rows and columns of a large image and its label map."""
    step = -(-max(pixels.shape[:2]) // DRAWN)
    # no tensor, which of one pixel is an index to mmseg and no mask
    labels = sample.pred_sem_seg.data.numpy()[..., ::step, ::step]
    small = type(sample)(pred_sem_seg=type(sample.pred_sem_seg)(data=labels))
    return pixels[::step, ::step], small


def _shapes(prepared: dict) -> tuple:
    inputs = prepared['inputs']
    several = isinstance(inputs, (list, tuple))
    return tuple(tuple(one.shape) for one in (inputs if several else [inputs]))


def _frames(images: Image | Sequence[Image]) -> Iterator[Frame]:
    """Yield the frames of what `Predictor.predict` is given."""
    if isinstance(images, (str, os.PathLike, np.ndarray)):
        images = [images]
    for i, image in enumerate(images):
        if isinstance(image, np.ndarray):
            yield Frame(f'{i:06d}.png', image)
        else:
            yield from find_sources([str(image)]).frames()
