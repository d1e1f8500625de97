"""Faults of image files: what cannot be read, and what is read as nearly black or white."""

import io

import cv2
import mmcv
import mmengine.fileio as fileio
import numpy as np

from .check_seg_map import WIDE_MODES, read_pixels

# what decoders and storage raise for a file, and mmcv for one that was not decoded
READ_ERRORS = (OSError, AssertionError, SyntaxError, ValueError, cv2.error)
# the brightest value that is left of 12 bits when the lower 8 are cut off or rounded
DARK = 16
# share of brighter values in an image that is nearly black: sensors have hot pixels
FEW = 0.001
# share of values that are cut off in an image that is nearly white
MANY = 0.5
# first bytes of a TIFF, by the order of its bytes
TIFF = b'II*\0', b'MM\0*'
TO_8_BITS = 'convert it to 8 bits, scaled to 0 to 255'


def read_fault(what: str, path: str, backend_args: dict | None, error: Exception) -> str:
    """Describe why a file cannot be read.

    Args:
        what (str): What it should be.
        path (str): The file.
        backend_args (dict, optional): Arguments of its storage.
        error (Exception): What reading it raised; it is raised again if the
            file can be decoded to 8 bits, because then an argument is at fault.

    Returns:
        str: The fault and what to do about it.
    """
    try:
        content = fileio.get(path, backend_args=backend_args)
    except FileNotFoundError:
        return f'{what} {path} does not exist: put it there'
    except Exception:
        # whatever storage raises
        return f'{what} {path} cannot be read: {error}'
    pixels = _decode(content)
    if pixels is not None:
        # what decoders raise for numbers that they do not convert
        if pixels.dtype != np.uint8 and isinstance(error, (AssertionError, OSError)):
            depth = f'has {_describe_depth(pixels)}, which its loader does not convert'
            return f'{what} {path} {depth}: {TO_8_BITS}'
        raise error
    start = content[:100].lstrip().lower()
    remedy = f'put the whole {what} there'
    if not content:
        fault = 'is empty (0 bytes)'
    elif start.startswith(b'<'):
        fault = 'is no image but a text such as HTML'
    elif start.startswith(b'version https://git-lfs'):
        fault = 'is a pointer of Git LFS (git lfs pull)'
    elif content.startswith(TIFF):
        kind = 'truncated, damaged or of a kind that its loader does not read'
        fault, remedy = (
            f'is a TIFF that is {kind} ({len(content)} bytes)',
            f'{remedy}, or {TO_8_BITS}',
        )
    else:
        fault = f'is truncated, damaged or no image ({len(content)} bytes)'
    return f'{what} {path} {fault}: {remedy}'


def depth_fault(
    image: np.ndarray, path: str, backend: str, backend_args: dict | None
) -> str | None:
    """Describe an image that is left nearly black or white of its more than 8 bits.

    Args:
        image (ndarray): The loaded image.
        path (str): Its file.
        backend (str): mmcv's decoder.
        backend_args (dict, optional): Arguments of its storage.

    Returns:
        str or None: The fault and what to do about it; None if there is none.
    """
    colour = _lost_colour(image, backend)
    if colour is None:
        return None
    pixels = _decode(fileio.get(path, backend_args=backend_args))
    # 8 bits are shown as they are stored, and a night of 16 is black
    if pixels is None or pixels.dtype == np.uint8 or pixels.max() == 0:
        return None
    depth = f'has {_describe_depth(pixels)} and is read as 8, in which it is {colour}'
    return f'image {path} {depth}: {TO_8_BITS}'


def _lost_colour(image: np.ndarray, backend: str) -> str | None:
    """Return the colour that is left of an image that may have had more bits."""
    if image.dtype != np.uint8:
        return None
    if np.count_nonzero(image > DARK) <= FEW * image.size:
        return 'black' if image.max() <= DARK else 'nearly black'
    # OpenCV keeps the upper 8 bits, Pillow cuts values off at 255
    white = np.count_nonzero(image == 255) if backend == 'pillow' else 0
    if white <= MANY * image.size:
        return None
    return 'white' if white == image.size else 'nearly white'


def _decode(content: bytes) -> np.ndarray | None:
    """Decode an image without a conversion; None if it cannot be decoded."""
    if not content:
        return None
    pixels = mmcv.imfrombytes(content, flag='unchanged', backend='cv2')
    # of unsigned 32 bits, which OpenCV refuses
    return read_pixels(io.BytesIO(content), WIDE_MODES) if pixels is None else pixels


def _describe_depth(pixels: np.ndarray) -> str:
    kind = 'floats of ' if pixels.dtype.kind == 'f' else ''
    return f'{kind}{8 * pixels.dtype.itemsize} bits a channel (values to {pixels.max():g})'
