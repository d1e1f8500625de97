"""The test pipeline of a config, for images that have no labels."""

import copy
import re
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS

from ..config_nodes import type_name, walk
from ..engine.transforms.load_image import LoadCheckedImage
from ..errors import UserError, error_text
from ..libraries import find_library
from .panoptic import is_panoptic

# flags of mmcv's loader by which an image has three channels
COLORS = ('color', 'color_ignore_orientation')

# steps that load labels; what comes after them passes images without
_LABELS = re.compile(r'Load\w*Annotations?')
_FLIPS = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]


class Unreadable(Exception):
    """An image that cannot be loaded or prepared; the message names it and says why."""


class Preparation:
    """Load an image and bring it into the form that a model takes.

    Args:
        steps (list[dict]): A pipeline for tests. Its first step loads an image; steps that
            load labels are left out.

    Attributes:
        takes_windows (bool): True if the loader makes BGR of 8 bits as OpenCV does, so that
            windows of a file can be prepared in its place.

    Raises:
        UserError: If its first step loads no image.
    """

    def __init__(self, steps: list[dict]) -> None:
        steps = without_labels(steps)
        if not steps or not type_name(steps[0]).startswith('LoadImage'):
            raise UserError(
                "the test pipeline of the config begins with no dict(type='LoadImageFromFile'): "
                'put it first'
            )
        loader = {key: value for key, value in steps[0].items() if key != 'type'}
        own = type_name(steps[0]) == 'LoadImageFromFile'
        self._load = LoadCheckedImage(**loader) if own else TRANSFORMS.build(steps[0])
        self._color = getattr(self._load, 'color_type', 'color') in COLORS
        self.takes_windows = own and self._color and self._load.imdecode_backend == 'cv2'
        self._rest = Compose(steps[1:])

    def load(self, image: str | np.ndarray) -> dict:
        """Load an image.

        Args:
            image (str or ndarray): Its file, or its pixels as OpenCV gives them: BGR of shape
                (H, W, 3), BGRA (H, W, 4), or gray (H, W) or (H, W, 1).

        Returns:
            dict: A sample with ``img``, for `prepare`.

        Raises:
            Unreadable: If it is no image.
        """
        if isinstance(image, np.ndarray):
            return self.sample(self._channels(image), None)
        results = dict(img_path=str(image))
        try:
            if not isinstance(self._load, LoadCheckedImage):
                return self._load(results)
            fault = self._load.load(results)
        except Exception as error:
            # whatever a decoder or a storage raises at a file
            fault = f'image {image} cannot be loaded: {error_text(error)}'
        if fault:
            raise Unreadable(fault)
        return results

    def sample(self, pixels: np.ndarray, path: str | None) -> dict:
        """Return the sample of an image that is loaded already.

        Args:
            pixels (ndarray): Its pixels.
            path (str, optional): The file that they are from.

        Returns:
            dict: As from `load`.
        """
        if getattr(self._load, 'to_float32', False):
            pixels = pixels.astype(np.float32)
        shape = pixels.shape[:2]
        return dict(img=pixels, img_path=path, img_shape=shape, ori_shape=shape)

    def prepare(self, sample: dict, number: int = 0) -> dict:
        """Run the steps after loading.

        Args:
            sample (dict): What `load` returned; it is not changed.
            number (int): Number of the image. Default: 0.

        Returns:
            dict: ``inputs`` and ``data_samples``.

        Raises:
            Unreadable: If a step fails at this image.
        """
        try:
            prepared = self._rest({**sample, 'img_id': number, 'sample_idx': number})
        except Exception as error:
            # whatever a transform raises, for example for a side that is rounded to 0
            raise Unreadable(
                f'{_name(sample)} of shape {sample["img"].shape} cannot be prepared: '
                f'{error_text(error)}'
            ) from error
        if prepared is None:
            raise Unreadable(f'{_name(sample)} is filtered out by a step of the test pipeline')
        return prepared

    def _channels(self, pixels: np.ndarray) -> np.ndarray:
        """Give an array the channels that the loader would."""
        numbers = np.issubdtype(pixels.dtype, np.floating) or pixels.dtype == np.uint8
        channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
        strange = self._color and channels not in (1, 3, 4)
        if not numbers or pixels.ndim not in (2, 3) or 0 in pixels.shape or strange:
            raise Unreadable(
                f'an array of shape {pixels.shape} and {pixels.dtype} is no image: give uint8 or '
                'floats from 0 to 255, of shape (H, W, 3) in BGR or (H, W) in gray'
            )
        if not self._color:
            return pixels
        if channels in (1, 4):
            code = cv2.COLOR_GRAY2BGR if channels == 1 else cv2.COLOR_BGRA2BGR
            pixels = cv2.cvtColor(pixels.astype(np.float32), code).astype(pixels.dtype)
        return pixels


def _name(sample: dict) -> str:
    return f'image {sample["img_path"]}' if sample.get('img_path') else 'an array'


def find_pipeline(cfg: Config) -> list[dict]:
    """Find the pipeline that a config tests with.

    Args:
        cfg (Config): A whole config.

    Returns:
        list[dict]: A copy of its steps.

    Raises:
        UserError: If it has none.
    """
    # walked, because data sets may be wrapped or concatenated
    for _, node in walk(cfg.get('test_dataloader') or {}):
        if node.get('pipeline'):
            return copy.deepcopy(node['pipeline'])
    raise UserError(
        'the config has no test pipeline (test_dataloader.dataset.pipeline): give the config that '
        'the model was trained with'
    )


def without_labels(steps: Any) -> Any:
    """Leave out the steps of a pipeline that load labels, also within others.

    Args:
        steps (Any): Steps, or a part of one.

    Returns:
        Any: The same without them; lists that are empty then are left out too.
    """
    if isinstance(steps, dict):
        return {key: without_labels(value) for key, value in steps.items()}
    if not isinstance(steps, (list, tuple)) or not any(isinstance(s, (dict, list)) for s in steps):
        return steps
    kept = [s for s in steps if not (isinstance(s, dict) and _LABELS.fullmatch(type_name(s)))]
    kept = [without_labels(step) for step in kept]
    return [step for step in kept if step or not isinstance(step, list)]


def settle_tta(cfg: Config) -> tuple[dict, list[dict]]:
    """Return what a config is tested with under test-time augmentation.

    Without ``tta_model`` and ``tta_pipeline`` in the config, the images are tested as
    they are and flipped, with the model that the library has for it.

    Args:
        cfg (Config): A whole config.

    Returns:
        tuple[dict, list[dict]]: Config of the model around the model, and the pipeline.

    Raises:
        UserError: If the library cannot do it, or not for this model.
    """
    model = cfg.get('tta_model') or find_library(cfg).tta_model
    if model is None:
        raise UserError(f'--tta: {cfg.get("default_scope")} has no model for it: leave it out')
    if model['type'] == 'DetTTAModel' and is_panoptic(cfg.model):
        raise UserError('--tta: mmdet merges boxes alone, and this model is panoptic: leave it out')
    masks = [key for key, _ in walk(cfg.model) if key.rpartition('.')[2] == 'mask_head']
    if model['type'] == 'DetTTAModel' and masks:
        raise UserError(
            f'--tta: mmdet merges boxes alone, and this model has masks ({masks[0]}): leave it out, '
            f'or predict boxes with --cfg-options model.{masks[0]}=None'
        )
    steps = cfg.get('tta_pipeline')
    if not steps:
        first, *middle, pack = without_labels(find_pipeline(cfg))
        keys = pack.get('meta_keys')
        if keys:
            pack = {**pack, 'meta_keys': tuple(dict.fromkeys([*keys, 'flip', 'flip_direction']))}
        transforms = [[step] for step in middle]
        transforms.insert(_flip_index(middle, find_library(cfg).task), _FLIPS)
        transforms.append([pack])
        steps = [first, dict(type='TestTimeAug', transforms=transforms)]
    return copy.deepcopy(model), copy.deepcopy(steps)


def _flip_index(steps: list[dict], task: str) -> int:
    """Return where flips belong: a detector's before padding, which mmdet would mirror too."""
    pads = [i for i, step in enumerate(steps) if type_name(step).endswith('Pad')]
    # a segmentor's logits have the padding still when they are flipped back
    return pads[0] if pads and task == 'detection' else len(steps)
