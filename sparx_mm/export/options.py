"""What a user asks of an export, checked before anything is computed."""

import os

from ..errors import UserError
from ..model_index import CONFIG_PREFIX
from .files import FORMATS, PRECISIONS, SCANS, file_parts
from .network import PARTS


def check_options(form: str, part: str, precision: str, scan: str | None) -> None:
    """Check that options are known, and that the format heeds them.

    Args:
        form (str): Format.
        part (str): Part of the model.
        precision (str): Precision.
        scan (str, optional): Form of the scans.

    Raises:
        UserError: If one is not.
    """
    for name, value, allowed in (
        ('--format', form, FORMATS),
        ('--part', part, PARTS),
        ('--precision', precision, PRECISIONS),
        ('--scan', scan or SCANS[0], SCANS),
    ):
        if value not in allowed:
            raise UserError(f'{name} {value} is none of {", ".join(allowed)}')
    if form in ('onnx', 'openvino'):
        return
    if precision != 'float32':
        raise UserError(f'--format {form} is written in float32: give --format onnx')
    if scan:
        raise UserError(f'--format {form} keeps the scan as an operator: leave --scan out')


def choose_file(config: str, checkpoint: str | None, out: str | None, form: str) -> str:
    """Choose where the network is written.

    Args:
        config (str): Config file, or name of a shipped one.
        checkpoint (str, optional): File of the weights.
        out (str, optional): File that the user gave. None for the config's name.
        form (str): Format.

    Returns:
        str: The file.

    Raises:
        UserError: If it has another ending than the format's, is the checkpoint, or cannot
            be written.
    """
    ending = FORMATS[form]
    name = os.path.basename(config.removeprefix(CONFIG_PREFIX))
    path = out or f'{os.path.splitext(name)[0]}{ending}'
    if not path.endswith(ending):
        raise UserError(f'--out {path}: a file of --format {form} ends in {ending}')
    if checkpoint and os.path.realpath(checkpoint) in map(os.path.realpath, file_parts(path)):
        raise UserError(f'{path} would replace the checkpoint {checkpoint}: give another --out')
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UserError(f'--out {path}: there is no folder {folder}; make it first')
    if os.path.isdir(path):
        raise UserError(f'--out {path} is a folder: give a file')
    return path


def choose_sizes(size: tuple[int, int], divisor: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Choose two sizes of images, on which an export is compared.

    Args:
        size (tuple[int, int]): Height and width that the user gave.
        divisor (int): Number that the model's sides are multiples of.

    Returns:
        tuple[tuple, tuple]: The size, rounded up to multiples of 32 or of the divisor if that
        is more, and one of another shape: higher where the first one is wide.

    Raises:
        UserError: If a side is not positive.
    """
    if min(size) < 1:
        raise UserError('--size {} {}: sides are at least 1 pixel'.format(*size))
    step = max(divisor, 32)
    height, width = (-(-side // step) * step for side in size)
    other = (width, -(-height * 3 // 4 // step) * step)
    if other == (height, width):
        # small squares, of which three quarters round up to the whole
        other = (height + step, width)
    return (height, width), other
