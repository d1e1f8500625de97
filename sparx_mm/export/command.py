"""The work of tools/export.py: write, compare with torch, time, and refuse what differs."""

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from ..errors import UserError
from ..inference import load
from .agreement import TOLERANCE, disagreement
from .files import FORMATS, PRECISIONS, SCANS, write_file
from .images import find_images, letterbox
from .network import PARTS, make_network
from .runtimes import check_packages, milliseconds

CALIBRATION_IMAGES = 32
# largest disagreement of a file that is kept: numbers of another precision are for the user
# to judge, but what is this far off is broken
_LIMITS = dict(float32=TOLERANCE, float16=0.5, int8=1.0)


class Report(NamedTuple):
    """What is known of a file that was written.

    Args:
        path (str): The file.
        megabytes (float): Its size.
        differences (dict): Disagreement for each size (H, W); see `disagreement`.
        milliseconds (dict): Shortest call of the file and of torch at the first size.
    """

    path: str
    megabytes: float
    differences: dict[tuple[int, int], float]
    milliseconds: dict[str, float]

    def lines(self) -> Iterator[str]:
        """Write the report, a line for each thing."""
        yield f'{self.path}: {self.megabytes:.1f} MB'
        for (height, width), difference in self.differences.items():
            yield f'{height}x{width}: differs from torch by {difference:.2g}'
        times = ', '.join(f'{name} {time:.1f} ms' for name, time in self.milliseconds.items())
        yield f'shortest of 5 calls, one image, {torch.get_num_threads()} threads: {times}'


def export(
    config: str,
    checkpoint: str | None,
    images: str,
    form: str = 'onnx',
    out: str | None = None,
    part: str = 'model',
    labels: bool = False,
    size: tuple[int, int] = (512, 512),
    precision: str = 'float32',
    scan: str | None = None,
    score_thr: float = 0.3,
    cfg_options: dict | None = None,
    progress: Callable[[str], None] = print,
) -> Report:
    """Export a model and hold the file to torch.

    Args:
        config (str): Config file.
        checkpoint (str, optional): File of the weights. None for random ones.
        images (str): Folder of real images, or one, on which the file is compared.
        form (str): One of ``FORMATS``. Default: ``'onnx'``.
        out (str, optional): File. None for the config's name. Default: None.
        part (str): ``'model'`` or ``'backbone'``. Default: ``'model'``.
        labels (bool): Of a segmentor, the label map instead of logits. Default: False.
        size (tuple[int, int]): Height and width of the images that are traced.
            Default: (512, 512).
        precision (str): One of ``PRECISIONS``. Default: ``'float32'``.
        scan (str, optional): Form of the scans in ONNX; see `write_file`. Default: None.
        score_thr (float): Score from which boxes are compared. Default: 0.3.
        cfg_options (dict, optional): Values that override the config's. Default: None.
        progress (Callable): Function of a line of text. Default: print.

    Returns:
        Report: What is known of the file.

    Raises:
        UserError: If the file's outputs differ from torch's, or it cannot be made. The
            file is then removed.
    """
    for name, value, allowed in (
        ('--format', form, FORMATS),
        ('--part', part, PARTS),
        ('--precision', precision, PRECISIONS),
        ('--scan', scan or SCANS[0], SCANS),
    ):
        if value not in allowed:
            raise UserError(f'{name} {value} is none of {", ".join(allowed)}')
    check_packages(form)
    files = find_images(images, CALIBRATION_IMAGES)
    network = make_network(load(config, checkpoint, 'cpu', cfg_options), part, labels)
    step = max(network.facts['divisor'], 32)
    size = tuple(-(-side // step) * step for side in size)
    network.facts['size'] = list(size)
    # another shape too: higher where the first one is wide
    other = (size[1], -(-size[0] * 3 // 4 // step) * step)

    def sample(file, shape):
        return dict(zip(('images', 'sizes'), letterbox(file, shape, network.facts)))

    path = out or f'{os.path.splitext(os.path.basename(config))[0]}{FORMATS[form]}'
    progress(f'writing {path}')
    run = write_file(network, form, path, [sample(f, size) for f in files], precision, scan)
    try:
        differences = {
            shape: max(_compare(network, run, sample(f, shape), score_thr) for f in files[:4])
            for shape in (size, other)
        }
    except Exception as error:
        _remove(path)
        raise UserError(f'{path} does not run, and was removed: {error}') from error
    worst = max(differences.values())
    if not worst <= _LIMITS[precision]:
        _remove(path)
        raise UserError(
            f'{path} differs from torch by {worst:.2g}, more than {_LIMITS[precision]:g}, and was '
            'removed'
        )
    first = sample(files[0], size)
    times = {form: milliseconds(run, first), 'torch': milliseconds(network.run, first)}
    return Report(path, _megabytes(path), differences, times)


def _compare(network, run, arrays, score_thr):
    return disagreement(network.kind, network.run(arrays), run(arrays), score_thr)


def _parts(path: str) -> list[str]:
    # OpenVINO keeps the weights beside the graph
    beside = [f'{os.path.splitext(path)[0]}.bin'] if path.endswith('.xml') else []
    return [path, *beside]


def _remove(path):
    for part in _parts(path):
        os.remove(part)


def _megabytes(path):
    return sum(os.path.getsize(part) for part in _parts(path)) / 1e6
