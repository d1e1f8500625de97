"""Measure token pruning: time, multiply-adds, and what it costs a network that was not tuned.

    python benchmarks/pruning.py [--size 224 448] [--repeats 10] [--weights FILE] [--help]

The time is that of PlainMamba-L1 with random weights, on one thread. The loss is that of a
small PlainMamba which names the shapes of drawn images, see drawn_patches.py: it is trained
first, unless --weights names a file that is there.
"""

import time
from pathlib import Path
from unittest.mock import patch

import drawn_patches
import torch
from options import make_parser, parse, positive
from report import Report, machine, number, progress, ratio, table

from sparx_mm import PlainMamba
from sparx_mm.analysis import count_complexity
from sparx_mm.backbones.token_pruning import mix_kept
from sparx_mm.checkpoint_io import load_checkpoint, save_checkpoint
from sparx_mm.errors import UserError, user_errors
from sparx_mm.layers import KeptTokens

RATIOS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
GAPS = ('decay', 'copy', 'removed')
# layers after which tokens are dropped
LAYERS, SMALL_LAYERS = (5, 10, 15), (2, 5)
TIME_COLUMNS = ('image', 'keep', 'gap', 'G multiply-adds', 'x', 'CPU ms', 'x')
LOSS_COLUMNS = ('keep', 'gap', 'M multiply-adds', 'x', 'mIoU', '', 'classes', '')


def mix_closed_up(layer, x, y, kept):
    """Run a layer on tokens that have moved up to the first positions: plain removal.

    Args:
        layer (Layer): The layer.
        x (Tensor): Shortcut of shape (B, C, H, W), or of kept tokens (B, C, k, 1).
        y (Tensor): Input of the mixer, likewise.
        kept (KeptTokens, optional): Places of the kept tokens. None: all are kept.

    Returns:
        tuple[Tensor, Tensor]: What `mix_kept` returns.
    """
    if kept is not None:
        positions = torch.arange(x.shape[2]).expand(len(x), -1)
        kept = KeptTokens(positions, kept.like, 'copy')
    return mix_kept(layer, x, y, kept)


def prune(layers, keep, gap):
    """Make the option of a backbone.

    Args:
        layers (Sequence[int]): Layers after which tokens are dropped.
        keep (float): Share of the tokens that stays.
        gap (str): One of ``GAPS``.

    Returns:
        dict or None: The option; None where nothing is dropped.
    """
    gap = 'copy' if gap == 'removed' else gap
    return None if keep == 1 else dict(layers=layers, keep=keep, gap=gap)


@torch.no_grad()
def milliseconds(models, images, repeats):
    """Time models in turns, so that other programs disturb all of them alike.

    Args:
        models (dict[Any, Module]): The models.
        images (Tensor): Their input.
        repeats (int): Passes of each, after one more.

    Returns:
        dict[Any, float]: CPU milliseconds of the fastest pass of each.
    """
    fastest = {}
    for turn in range(repeats + 1):
        for name, model in models.items():
            start = time.thread_time()
            model(images)
            spent = 1e3 * (time.thread_time() - start)
            if turn:
                fastest[name] = min(spent, fastest.get(name, spent))
    return fastest


def time_rows(size, repeats):
    """Time PlainMamba-L1 on one image, with every ratio.

    Args:
        size (tuple[int, int]): Height and width of the image.
        repeats (int): Passes of each.

    Returns:
        list[list[str]]: A row for each ratio and gap.
    """
    models = {
        (keep, gap): PlainMamba('l1', out_indices=-1, pruning=prune(LAYERS, keep, gap)).eval()
        for keep in RATIOS
        for gap in (GAPS[:2] if keep < 1 else ('',))
    }
    image = '{}x{}'.format(*size)
    progress(f'{image}: {len(models)} networks in turns')
    spent = milliseconds(models, torch.randn(1, 3, *size), repeats)
    counts = {
        name: count_complexity(model, size, 'plain').total().macs / 1e9
        for name, model in models.items()
    }
    rows, whole = [], next(iter(models))
    for keep, gap in models:
        cells = []
        for values in (counts, spent):
            value = values[keep, gap]
            cells += [number(value), ratio(value, values[whole])]
        rows.append([image, str(keep), gap, *cells])
    return rows


def train_or_load(args):
    """Return a trained `PatchNamer`, and what it is judged on."""
    val = drawn_patches.draw(args.train // 5, 1)
    torch.manual_seed(0)
    model = drawn_patches.PatchNamer()
    if args.weights.exists():
        weights = load_checkpoint(str(args.weights), 'cpu')['state_dict']
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise UserError(
                f'--weights {args.weights} is of another network: name another file, or remove it'
            ) from error
        return model.eval(), val
    progress(f'{args.weights} is not there: training for {args.steps} steps')
    drawn_patches.train(model, *drawn_patches.draw(args.train, 0), args.steps)
    save_checkpoint(model.state_dict(), str(args.weights))
    return model, val


def loss_rows(whole, images, labels):
    """Judge a network with every ratio and gap, untuned.

    Args:
        whole (PatchNamer): The network, in eval mode.
        images (Tensor): From `drawn_patches.draw`.
        labels (Tensor): From `drawn_patches.draw`.

    Returns:
        list[list[str]]: A row for each ratio and gap.
    """
    rows, first = [], None
    for keep in RATIOS:
        for gap in GAPS if keep < 1 else ('',):
            model = drawn_patches.PatchNamer(pruning=prune(SMALL_LAYERS, keep, gap)).eval()
            model.load_state_dict(whole.state_dict())
            size = images.shape[2:]
            count = count_complexity(model.backbone, size, 'plain').total().macs / 1e6
            mix = mix_closed_up if gap == 'removed' else mix_kept
            with patch('sparx_mm.backbones.plain.mix_kept', mix):
                scores = drawn_patches.score(model, images, labels)
            progress(f'keep {keep}, {gap or "all"}: {scores[0]:.1f} {scores[1]:.1f}')
            first = first or (count, *scores)
            cells = [number(count), ratio(count, first[0])]
            for value, before in zip(scores, first[1:]):
                cells += [f'{value:.1f}', f'{value - before:+.1f}' if gap else '']
            rows.append([str(keep), gap, *cells])
    return rows


def parse_options():
    """Parse the command line."""
    parser = make_parser('Measure token pruning', False)
    parser.set_defaults(
        size=[(224, 224), (448, 448)], threads=1, repeats=10, dtype=['float32'], device='cpu'
    )
    parser.add_argument(
        '--weights',
        type=Path,
        default=Path('work_dirs/pruning/drawn_patches.pth'),
        help='file of the small network; trained and written if it is not there',
    )
    parser.add_argument('--steps', type=positive, default=600, help='of its training')
    parser.add_argument('--train', type=positive, default=1500, help='images that it is trained on')
    args = parse(parser)
    if args.batch or args.dtype != ['float32']:
        raise UserError('one image is timed, in float32: leave out --batch and --dtype')
    if args.train < 5:
        raise UserError(f'--train {args.train} are too few: a fifth as many are judged; give 5')
    if args.threads != 1 or args.device.type != 'cpu':
        raise UserError('the time of a thread is measured: leave out --threads and --device')
    return args


@user_errors()
def main():
    args = parse_options()
    report = Report(args.output)
    report.add(
        f'{machine("Token pruning", args)}\n\nCPU milliseconds of the fastest of {args.repeats} '
        'passes of one image, in turns. "x" is over the row where all tokens stay.'
    )
    after = ', '.join(map(str, LAYERS))
    sizes = dict.fromkeys((images.height, images.width) for images in args.inputs)
    rows = [row for size in sizes for row in time_rows(size, args.repeats)]
    report.add(f'## PlainMamba-L1, dropped after layers {after}\n\n{table(TIME_COLUMNS, rows)}')
    model, val = train_or_load(args)
    after = ', '.join(map(str, SMALL_LAYERS))
    rows = loss_rows(model, *val)
    report.add(
        f'## A network for drawn shapes, dropped after layers {after} of 8, untuned\n\n'
        f'mIoU of the classes of patches, and how often a class is rightly said to be in an image '
        f'or not, of {len(val[0])} images, in percent. "removed": the tokens that stay move up to '
        f'the first positions.\n\n{table(LOSS_COLUMNS, rows)}'
    )


if __name__ == '__main__':
    main()
