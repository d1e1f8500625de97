"""The work of tools/export.py: write, compare with torch, time, and refuse what differs."""

import math
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from ..errors import UserError
from ..inference import load
from ..run import load_config, load_dataset
from .agreement import disagreement, limit
from .evaluation import evaluate as compute_metrics
from .files import draft, file_parts, open_file, write_file
from .images import find_images, letterbox, with_noise
from .network import make_network, name_outputs
from .options import check_options, choose_file, choose_sizes
from .original import check_pass
from .runtimes import check_packages, milliseconds

CALIBRATION_IMAGES = 32


class Report(NamedTuple):
    """What is known of a file that was written.

    Args:
        path (str): The file.
        megabytes (float): Its size.
        differences (dict): Disagreement for each size (H, W); see `disagreement`.
        milliseconds (dict): Shortest call of the file and of torch at the first size.
        metrics (dict, optional): By name, the file's and torch's on the test set; None if not
            asked for. See `evaluate`.
    """

    path: str
    megabytes: float
    differences: dict[tuple[int, int], float]
    milliseconds: dict[str, float]
    metrics: dict[str, tuple[float, float]] | None

    def lines(self) -> Iterator[str]:
        """Write the report, a line for each thing."""
        yield f'{self.path}: {self.megabytes:.1f} MB'
        for (height, width), difference in self.differences.items():
            yield f'{height}x{width}: differs from torch by {difference:.2g}'
        times = ', '.join(f'{name} {time:.1f} ms' for name, time in self.milliseconds.items())
        yield f'shortest of 5 calls, one image, {torch.get_num_threads()} threads: {times}'
        if self.metrics is None:
            return
        for name, (ours, torchs) in self.metrics.items():
            yield f'{name}: {ours:.4g}, torch {torchs:.4g}'
        for i, name in enumerate(('the file', 'torch')):
            if all(math.isnan(values[i]) for values in self.metrics.values()):
                yield f'{name} finds nothing on the test set'


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
    score_thr: float | None = None,
    evaluate: bool = False,
    cfg_options: dict | None = None,
    progress: Callable[[str], None] = print,
) -> Report:
    """Export a model and hold the file to torch.

    Args:
        config (str): Config file.
        checkpoint (str, optional): File of the weights. None for random ones.
        images (str): Folder of real images, or one, on which the file is compared.
        form (str): One of ``FORMATS``. Default: ``'onnx'``.
        out (str, optional): File, which is replaced. None for the config's name.
            Default: None.
        part (str): ``'model'`` or ``'backbone'``. Default: ``'model'``.
        labels (bool): Of a segmentor, the label map instead of logits. Default: False.
        size (tuple[int, int]): Height and width of the images that are traced; see
            `choose_sizes`. Default: (512, 512).
        precision (str): One of ``PRECISIONS``. Default: ``'float32'``.
        scan (str, optional): Form of the scans in ONNX; see `write_file`. Default: None.
        score_thr (float, optional): Score from which boxes are compared; of detectors alone.
            None for 0.3. Default: None.
        evaluate (bool): Compute the config's metrics of the file, and of torch, on its test
            set. Default: False.
        cfg_options (dict, optional): Values that override the config's. Default: None.
        progress (Callable): Function of a line of text. Default: print.

    Returns:
        Report: What is known of the file.

    Raises:
        UserError: If the file's outputs differ from torch's, or it cannot be made. What was
            there before is then left as it was.
    """
    check_options(form, part, precision, scan)
    if evaluate and checkpoint is None:
        raise UserError(
            '--evaluate compares a file and torch with the weights of a checkpoint: give one'
        )
    path = choose_file(config, checkpoint, out, form)
    check_packages(form)
    files = find_images(images, CALIBRATION_IMAGES)
    predictor = load(config, checkpoint, 'cpu', cfg_options)
    network = make_network(predictor, part, labels)
    if score_thr is not None and network.kind != 'boxes':
        raise UserError('--score-thr is for detectors exported whole: leave it out')
    score_thr = 0.3 if score_thr is None else score_thr
    if evaluate and network.kind not in ('boxes', 'logits'):
        raise UserError(
            '--evaluate is for whole detectors and segmentors: leave --part and --labels out'
        )
    if evaluate:
        # read now, because an export takes minutes
        load_dataset(load_config(config, cfg_options), 'test')
    sizes = choose_sizes(size, network.facts['divisor'])
    network.facts['size'] = list(sizes[0])

    def sample(file, shape):
        return dict(zip(('images', 'sizes'), letterbox(file, shape, network.facts)))

    first = sample(files[0], sizes[0])
    check_pass(network, predictor.model, first, score_thr)
    network = name_outputs(network, first)
    if not _takes(network, sample(files[0], sizes[1])):
        sizes = sizes[:1]
        network.facts['fixed_size'] = network.facts['size']
        progress(
            'the network takes images of {}x{} alone, and is compared on them'.format(*sizes[0])
        )
    progress('writing {}, traced at {}x{}'.format(path, *sizes[0]))
    with draft(path) as name:
        write_file(network, form, name, [sample(f, sizes[0]) for f in files], precision, scan)
        compared = {shape: [sample(f, shape) for f in files[:4]] for shape in sizes}
        try:
            run = open_file(network, form, name)
            differences = _compare(network, run, compared, score_thr, precision)
        except Exception as error:
            raise UserError(f'{path} is not written, because it does not run: {error}') from error
        worst, most = max(differences.values()), limit(network.kind, precision)
        if not worst <= most:
            raise UserError(
                f'{path} is not written, because it differs from torch by {worst:.2g}, more than '
                f'{most:g}'
            )
        times = {form: milliseconds(run, first), 'torch': milliseconds(network.run, first)}
    megabytes = sum(os.path.getsize(part) for part in file_parts(path)) / 1e6
    metrics = None
    if evaluate:
        run = open_file(network, form, path)
        metrics = compute_metrics(config, checkpoint, run, cfg_options)
    return Report(path, megabytes, differences, times, metrics)


def _takes(network, arrays):
    """Tell if a network takes images of a size, which one for a single size refuses."""
    try:
        network.run(arrays)
    except Exception as error:
        # any other error is said where the file is compared
        return not isinstance(error, UserError)
    return True


def _compare(network, run, samples, score_thr, precision):
    """Measure the largest disagreement of each size."""

    def compare(one):
        outputs = network.run(one), run(one)
        far = disagreement(network.kind, *outputs, score_thr, precision)
        if network.kind != 'boxes' or far == 0:
            return far
        variants = [network.run(noisy) for noisy in with_noise(one)]
        return disagreement(network.kind, *outputs, score_thr, precision, variants)

    return {shape: max(map(compare, own)) for shape, own in samples.items()}
