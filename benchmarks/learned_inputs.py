"""Train small segmentors whose layers read earlier ones in different ways, with several seeds.

    python benchmarks/learned_inputs.py [--runs FILE] [--seeds 0 1 2] [--steps 450] [--help]

The images are of the drawn set, in memory. All networks have as many parameters, within 3 %:
without DMCA they are wider. Each finished run is a JSON line in ``--runs``, and is not
run again. One network is called better than another only if its worst seed is better than
the other's best. Of two networks that are equal, with three seeds each, chance alone
calls one better one time in ten.
"""

import argparse
import json
import statistics
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from options import positive
from report import Report, machine, progress, table
from torch import nn

from sparx_mm import SparXMamba
from sparx_mm.analysis import count_complexity
from sparx_mm.demo.drawing import CLASSES, draw_sample
from sparx_mm.errors import UserError, user_errors

SIZE, NUM_TRAIN, NUM_VAL, BATCH, LR = 48, 2000, 300, 16, 2e-3
SHARED = dict(depths=(1, 6, 1), skip_scale=False)
CONNECTIONS = dict(strides=(1, 2, 1), starts=(None, 0, 0), windows=(None, 3, None))
WIDE, NARROW = (24, 48, 64), (24, 40, 64)
NETWORKS = {
    'plain': dict(embed_dims=WIDE),
    'weighted inputs': dict(embed_dims=WIDE, inputs='weighted'),
    'WeightedAverage': dict(
        embed_dims=WIDE, connections=dict(CONNECTIONS, aggregator=dict(type='WeightedAverage'))
    ),
    'DMCA': dict(
        embed_dims=NARROW,
        connections=dict(CONNECTIONS, aggregator=dict(type='DMCA', reduction=(4, 2, 1))),
    ),
}


class Segmentor(nn.Module):
    """Backbone, a 1x1 convolution of each of its maps to class scores, and their sum.

    Args:
        arch (dict): Arch of the backbone.
    """

    def __init__(self, arch):
        super().__init__()
        self.backbone = SparXMamba({**SHARED, **arch}, out_indices=(0, 1, 2), drop_path_rate=0.1)
        dims = self.backbone.arch['embed_dims']
        self.heads = nn.ModuleList(nn.Conv2d(dim, len(CLASSES) + 1, 1) for dim in dims)

    def forward(self, images):
        """Map images (B, 3, H, W) to scores (B, classes, H, W)."""
        maps = [head(m) for head, m in zip(self.heads, self.backbone(images))]
        size = images.shape[2:]
        return sum(F.interpolate(m, size, mode='bilinear', align_corners=False) for m in maps)


def draw(count, split):
    """Draw images and label maps.

    Args:
        count (int): Number of images.
        split (int): Part of their seeds, 0 for training and 1 for validation.

    Returns:
        tuple[Tensor, Tensor]: Images of about unit variance, (N, 3, H, W), and the
        class of each pixel, (N, H, W), 0 for the background.
    """
    samples = [draw_sample(np.random.default_rng((0, split, i)), SIZE) for i in range(count)]
    images = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2)
    labels = torch.from_numpy(np.stack([s.label_map for s in samples])).long()
    return (images.float() - 127.5) / 64, labels


def train(model, data, steps):
    """Train a segmentor, on batches that are flipped at random.

    Args:
        model (Segmentor): The model, changed in place.
        data (tuple[Tensor, Tensor]): From `draw`.
        steps (int): Number of batches.
    """
    decayed, spared = [], []
    for name, parameter in model.named_parameters():
        spare = parameter.ndim < 2 or name.endswith('A_log')
        (spared if spare else decayed).append(parameter)
    groups = [dict(params=decayed), dict(params=spared, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, LR, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps, pct_start=0.1)
    model.train()
    for _ in range(steps):
        chosen = torch.randint(len(data[0]), (BATCH,))
        flips = [axis for axis in (-1, -2) if torch.rand(()) < 0.5]
        images, labels = (tensor[chosen].flip(flips) for tensor in data)
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def mean_iou(model, data):
    """Return the mean over classes of intersection over union, in percent.

    Args:
        model (Segmentor): The model.
        data (tuple[Tensor, Tensor]): From `draw`.
    """
    model.eval()
    number = len(CLASSES) + 1
    confusion = torch.zeros(number * number, dtype=torch.long)
    for images, labels in zip(*(tensor.split(BATCH) for tensor in data)):
        pairs = labels * number + model(images).argmax(1)
        confusion += pairs.flatten().bincount(minlength=number * number)
    confusion = confusion.view(number, number)
    hits = confusion.diagonal()
    # without a class that is neither there nor predicted
    return float(100 * (hits / (confusion.sum(0) + confusion.sum(1) - hits)).nanmean())


def read_runs(path):
    """Read finished runs, and find out whether more can be written.

    Args:
        path (Path): File of JSON lines, made if there is none.

    Returns:
        list[dict]: The runs. A last line that was not written whole is cut off.

    Raises:
        UserError: If the file is no such file, or cannot be written.
    """
    with open_runs(path) as file:
        file.seek(0)
        *lines, rest = file.read().split('\n')
        try:
            runs = [dict(json.loads(line)) for line in lines]
            if rest and not rest.startswith('{'):
                raise ValueError(rest)
        except (TypeError, ValueError) as error:
            raise UserError(
                f'--runs {path} has a line that is no run ({error}): give another file'
            ) from error
        file.truncate(len(''.join(f'{line}\n' for line in lines)))
    return runs


@contextmanager
def open_runs(path):
    """Open a file of runs to read it, and to write at its end.

    Args:
        path (Path): File of JSON lines, made if there is none.

    Yields:
        TextIO: The file.

    Raises:
        UserError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open('a+', encoding='ascii', errors='replace') as file:
            yield file
    except OSError as error:
        raise UserError(f'--runs {path} cannot be written ({error.strerror})') from error


def describe(network):
    """Count a network.

    Args:
        network (str): Name among `NETWORKS`.

    Returns:
        dict: Its arch, parameters, and multiply-adds of an image.
    """
    model = Segmentor(NETWORKS[network])
    macs = count_complexity(model.backbone, (SIZE, SIZE)).total().macs
    parameters = sum(p.numel() for p in model.parameters())
    return dict(arch={**SHARED, **NETWORKS[network]}, parameters=parameters, macs=macs)


def run_all(path, seeds, steps):
    """Train all networks with all seeds, but for those whose runs are in the file.

    Args:
        path (Path): File of JSON lines, which gets one more after each run.
        seeds (list[int]): Seeds of weights, batches and flips.
        steps (int): Number of batches.

    Returns:
        dict[str, list[dict]]: Runs by network, in the order of the seeds.

    Raises:
        UserError: If the file is no file of runs, or cannot be written.
    """
    given = dict(steps=steps, size=SIZE, images=NUM_TRAIN, batch=BATCH, lr=LR)
    done = read_runs(path)
    shared = {name: json.loads(json.dumps({**describe(name), **given})) for name in NETWORKS}
    data, results = None, {name: [] for name in NETWORKS}
    for seed in seeds:
        for name in NETWORKS:
            wanted = dict(network=name, seed=seed, **shared[name])
            run = next((run for run in done if wanted.items() <= run.items()), None)
            if run is None:
                data = data or [draw(NUM_TRAIN, 0), draw(NUM_VAL, 1)]
                run = {**wanted, **train_and_test(name, seed, steps, *data)}
                with open_runs(path) as file:
                    file.write(f'{json.dumps(run)}\n')
                progress(f'{name}, seed {seed}: {run["miou"]:.2f} in {run["seconds"]:.0f} s')
            results[name].append(run)
    return results


def train_and_test(network, seed, steps, training, validation):
    """Train a network anew; return its score, and the CPU seconds that it took.

    Args:
        network (str): Name among `NETWORKS`.
        seed (int): Seed.
        steps (int): Number of batches.
        training (tuple[Tensor, Tensor]): From `draw`.
        validation (tuple[Tensor, Tensor]): From `draw`.

    Returns:
        dict: Result of `mean_iou` and the CPU seconds of the training.
    """
    torch.manual_seed(seed)
    model = Segmentor(NETWORKS[network])
    # of the CPU, because other programs may run beside
    start = time.process_time()
    train(model, training, steps)
    seconds = time.process_time() - start
    return dict(miou=mean_iou(model, validation), seconds=seconds)


def summarize(results):
    """Write the table of the networks, and which are better than which.

    Args:
        results (dict[str, list[dict]]): Runs by network.

    Returns:
        str: Markdown.
    """
    scores = {name: [run['miou'] for run in runs] for name, runs in results.items()}
    rows = [
        [
            name,
            f'{runs[0]["parameters"] / 1e3:.1f}',
            f'{runs[0]["macs"] / 1e6:.1f}',
            f'{statistics.mean(scores[name]):.2f}',
            f'{statistics.stdev(scores[name]):.2f}' if len(runs) > 1 else '',
            ', '.join(f'{score:.2f}' for score in scores[name]),
            f'{statistics.median(run["seconds"] for run in runs):.0f}',
        ]
        for name, runs in results.items()
    ]
    columns = (
        'network',
        'k parameters',
        'M MACs',
        'mIoU',
        'deviation',
        'by seed',
        'CPU s to train',
    )
    better = [
        f'{a} is better than {b}.'
        for a in scores
        for b in scores
        if len(scores[a]) > 1 and min(scores[a]) > max(scores[b])
    ]
    rest = 'All other differences are within the spread of the seeds: they rank nothing.'
    return f'{table(columns, rows)}\n\n{" ".join([*better, rest])}'


def parse_options():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--runs',
        type=Path,
        default=Path('work_dirs/learned_inputs.jsonl'),
        metavar='FILE',
        help='a JSON line of each run; those that are there are not run again',
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], help='default: 0 1 2')
    parser.add_argument('--steps', type=positive, default=450, help='default: 450')
    parser.add_argument('--threads', type=positive, default=1, help='CPU threads; default: 1')
    parser.add_argument('--output', metavar='FILE', help='also write what is printed here')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.device = torch.device('cpu')
    return args


@user_errors()
def main():
    args = parse_options()
    report = Report(args.output)
    results = run_all(args.runs, list(dict.fromkeys(args.seeds)), args.steps)
    report.add(machine('Learned inputs', args))
    report.add(summarize(results))


if __name__ == '__main__':
    main()
