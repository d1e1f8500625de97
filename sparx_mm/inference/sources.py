"""What is predicted: images, folders, patterns, lists, videos and webcams as one stream of frames."""

import glob
import os
import os.path as osp
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ..errors import UserError
from ..image_files import IMAGE_ENDINGS, walk_folders

VIDEOS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.mpg', '.mpeg', '.m4v', '.wmv')
LISTS = ('.txt', '.lst')
# a container may announce some frames more than it has
WHOLE = 0.9


class Frame(NamedTuple):
    """One image to predict.

    Args:
        name (str): Relative path that its results are named by.
        image (str or ndarray, optional): Its file, or its pixels of shape (H, W, 3) in BGR.
            None if it could not be read.
        fault (str): Why there is no image. Default: ``''``.
        video (str): Name of the video or webcam that it is from. Default: ``''``.
        fps (float): Frames a second of that video. Default: 0.
    """

    name: str
    image: str | np.ndarray | None
    fault: str = ''
    video: str = ''
    fps: float = 0.0


class Sources(NamedTuple):
    """Everything that the inputs of a command name.

    Args:
        names (dict[str, str]): Files of images and videos, and numbers of webcams, in order; with
            the relative path that results of each are named by.
        total (int): Number of frames as far as files announce it; 0 if a webcam is among them.
    """

    names: dict[str, str]
    total: int

    def frames(self) -> Iterator[Frame]:
        """Yield every image and every frame of a video.

        A file that is not there or cannot be read is one frame with a fault.
        """
        for path, name in self.names.items():
            if path.isdecimal() or _has(path, VIDEOS):
                yield from _video_frames(path, name)
            elif osp.isfile(path):
                yield Frame(name, path)
            elif osp.isdir(path):
                yield Frame(name, None, f'{path} is a folder: name its images, not the folder')
            else:
                yield Frame(name, None, f'image {path} does not exist')


def find_sources(inputs: Sequence[str]) -> Sources:
    """Find what is to be predicted.

    Args:
        inputs (Sequence[str]): Each an image, a folder of images (with its subfolders), a
            pattern such as ``'images/*.jpg'``, a ``.txt`` file of paths (one a line, relative to
            the current folder or to the file's), a video, or the number of a webcam.

    Returns:
        Sources: The files; two inputs that name the same one give it once.

    Raises:
        UserError: If a folder or a pattern has no image, if a list cannot be read, or if an input
            is of no kind that is known.
    """
    names, files = {}, set()
    for given in inputs:
        for path, name in _expand(given).items():
            file = path if path.isdecimal() else osp.realpath(path)
            if file not in files:
                names[path] = name
            files.add(file)
    if len(set(names.values())) < len(names):
        # by the folders below the one that all are in
        paths = [path for path in names if not path.isdecimal()]
        root = osp.commonpath([osp.dirname(osp.abspath(path)) for path in paths])
        names.update({path: osp.relpath(path, root) for path in paths})
    total = 0 if any(map(str.isdecimal, names)) else sum(map(_count, names))
    return Sources(names, total)


def _expand(given: str) -> dict[str, str]:
    """List the files that one input names, and their names below it."""
    given = osp.expanduser(given)
    if given.isdecimal() and not osp.exists(given):
        return {given: f'webcam{given}'}
    if osp.isdir(given):
        found = [
            osp.join(folder, name)
            for folder, _, names in walk_folders(given)
            for name in names
            if _has(name, IMAGE_ENDINGS) and not name.startswith('.')
        ]
        return _below(given, found, f'the folder {given} has no image ({", ".join(IMAGE_ENDINGS)})')
    if not osp.exists(given) and glob.has_magic(given):
        found = [p for p in glob.glob(given, recursive=True) if _has(p, IMAGE_ENDINGS + VIDEOS)]
        # up to the first part that is a pattern
        root = glob.escape(given).partition('[')[0].rpartition(os.sep)[0]
        root = root or (os.sep if osp.isabs(given) else os.curdir)
        return _below(root, found, f'no image or video matches {given}')
    if _has(given, LISTS):
        return {path: osp.basename(path) for path in _read_list(given)}
    if _has(given, IMAGE_ENDINGS + VIDEOS):
        return {given: osp.basename(given)}
    problem = 'is no input' if osp.exists(given) else 'is not there'
    raise UserError(
        f'{given} {problem}: give images, folders, patterns in quotes, .txt files of paths, '
        'videos, or the number of a webcam'
    )


def _below(root: str, found: list[str], message: str) -> dict[str, str]:
    if not found:
        raise UserError(message)
    return {path: osp.relpath(path, root) for path in sorted(found)}


def _read_list(path: str) -> list[str]:
    try:
        with open(path, encoding='utf-8-sig') as file:
            lines = [line.strip() for line in file]
            # a number is a path here, and no webcam
            lines = [osp.join(os.curdir, line) if line.isdecimal() else line for line in lines]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'the list {path} cannot be read ({error})') from error
    beside = osp.dirname(path)
    named = [line if osp.exists(line) else osp.join(beside, line) for line in lines if line]
    if not named:
        raise UserError(f'the list {path} names no file')
    return named


def _has(path: str, endings: Sequence[str]) -> bool:
    return path.lower().endswith(tuple(endings))


def _count(path: str) -> int:
    if not _has(path, VIDEOS):
        return 1
    video = cv2.VideoCapture(path)
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    video.release()
    return max(count, 1)


def _video_frames(path: str, name: str) -> Iterator[Frame]:
    webcam = path.isdecimal()
    if not webcam and not osp.isfile(path):
        yield Frame(name, None, f'video {path} does not exist')
        return
    video = cv2.VideoCapture(int(path) if webcam else path)
    announced = 0 if webcam else int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    fps, number = video.get(cv2.CAP_PROP_FPS) or 25.0, 0
    try:
        while True:
            there, pixels = video.read()
            if not there:
                break
            yield Frame(f'{name}/{number:06d}.png', pixels, video=name, fps=fps)
            number += 1
    finally:
        video.release()
    if webcam:
        fault = f'webcam {path} gives no picture' if not number else ''
    elif not number:
        fault = f'video {path} cannot be decoded: it is damaged, empty or of an unknown kind'
    else:
        cut = number < WHOLE * announced
        fault = (
            f'video {path} ends after {number} of {announced} frames: it was cut off or is damaged'
        )
        fault = fault if cut else ''
    if fault:
        yield Frame(name, None, fault)
