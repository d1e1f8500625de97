"""The command line of the programs, and the defaults of what it leaves out."""

import argparse
import os
from typing import NamedTuple

import torch
from peers import FORMS

from sparx_mm.compat.allocator import keep_freed_memory
from sparx_mm.errors import UserError, fail

# the input of each: images as in classification, segmentation, detection
GPU_INPUTS = (((224, 224), 128), ((512, 512), 4), ((800, 1280), 2))
CPU_INPUTS = (((224, 224), 1), ((512, 512), 1))
DTYPES = {'float16': torch.float16, 'bfloat16': torch.bfloat16, 'float32': torch.float32}
GPU_PEERS = ('unfused', 'mamba_ssm')
CPU_PEERS = ('unfused', 'two_level', 'log_depth', 'loop')


def short(dtype):
    """Return the name of a dtype, without "torch."."""
    return str(dtype).removeprefix('torch.')


class Input(NamedTuple):
    """Images that a network is given."""

    height: int
    width: int
    batch: int
    dtype: torch.dtype

    def __str__(self):
        return f'{self.height}x{self.width}, batch {self.batch}, {short(self.dtype)}'


class Parser(argparse.ArgumentParser):
    """Parser that reports a bad argument in one line."""

    on_paper = ()

    def error(self, message):
        fail(f'{message} (see {self.prog} --help)', 2)


def image_size(text):
    """Parse 224 or 800x1280 into height and width."""
    sides = text.split('x')
    if len(sides) > 2 or not all(s.isdecimal() and int(s) for s in sides):
        raise argparse.ArgumentTypeError(
            f'{text!r} is no size; write 224, or 800x1280 for height x width'
        )
    return int(sides[0]), int(sides[-1])


def positive(text):
    """Parse a whole number of 1 or more."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'{text!r} is not 1, 2, 3 ...')
    return int(text)


def make_parser(description, has_peers=True, on_paper=()):
    """Make a parser with the options that all programs have.

    Args:
        description (str): First line of the help.
        has_peers (bool): Compare forms of the scan, chosen with ``--peers``.
            Default: True.
        on_paper (Sequence[str]): Names of GPUs that need not be here: one of them, or cpu,
            must be chosen. Default: ().

    Returns:
        ArgumentParser: Parser that reports a bad argument in one line.
    """
    parser = Parser(description=description)
    parser.on_paper = on_paper
    if on_paper:
        parser.add_argument('--device', choices=('cpu', *on_paper), required=True)
    else:
        parser.add_argument('--device', help='cpu, cuda or cuda:N; default: a GPU if there is one')
    parser.add_argument(
        '--size',
        nargs='+',
        type=image_size,
        metavar='SIZE',
        help='image sizes, 224 or 800x1280; default: by device',
    )
    parser.add_argument(
        '--batch', nargs='+', type=positive, metavar='N', help='images; default: by size and device'
    )
    parser.add_argument(
        '--dtype', nargs='+', choices=DTYPES, help='default: all three on a GPU, float32 on a CPU'
    )
    if has_peers:
        parser.add_argument(
            '--peers',
            nargs='*',
            choices=FORMS,
            help='what to compare with; default: '
            f'{" ".join(GPU_PEERS)} on a GPU, {" ".join(CPU_PEERS)} on a CPU',
        )
    parser.add_argument(
        '--repeats', type=positive, default=20, help='timed calls of each; default: %(default)s'
    )
    parser.add_argument(
        '--threads',
        type=positive,
        default=len(os.sched_getaffinity(0)),
        help='CPU threads; default: %(default)s',
    )
    parser.add_argument('--output', metavar='FILE', help='also write what is printed here')
    return parser


def parse(parser):
    """Parse the command line and fill in defaults that depend on the device.

    Args:
        parser (ArgumentParser): From `make_parser`.

    Returns:
        Namespace: ``device`` a torch.device, or the name of one that is on paper; ``peers``
        a list of names and ``inputs`` a list of `Input`, instead of size, batch and dtype.

    Raises:
        UserError: If there is no such device.
    """
    args = parser.parse_args()
    on_paper = args.device in parser.on_paper
    if not on_paper:
        args.device = find_device(args.device)
    torch.set_num_threads(args.threads)
    if not on_paper and args.device.type == 'cpu':
        keep_freed_memory()
    gpu = on_paper or args.device.type == 'cuda'
    if getattr(args, 'peers', ()) is None:
        args.peers = list(GPU_PEERS if gpu else CPU_PEERS)
    batches = dict(GPU_INPUTS if gpu else CPU_INPUTS)
    dtypes = args.dtype or (['bfloat16'] if on_paper else DTYPES if gpu else ['float32'])
    args.inputs = [
        Input(*size, batch, DTYPES[name])
        for size in args.size or batches
        for batch in args.batch or [batches.get(size, 1)]
        for name in dtypes
    ]
    return args


def find_device(name):
    """Return the device of a name, or the best there is.

    Args:
        name (str, optional): Name of a device, as torch writes it. Default: a GPU
            if there is one.

    Returns:
        torch.device: A GPU with its index, or the CPU.

    Raises:
        UserError: If there is no such device.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    try:
        device = torch.device(name or ('cuda' if gpus else 'cpu'))
    except RuntimeError:
        device = None
    if device is None or device.type not in ('cpu', 'cuda'):
        raise UserError(f'--device must be cpu, cuda or cuda:N, got {name!r}')
    if device.type == 'cuda' and (device.index or 0) >= gpus:
        raise UserError(f'--device {name}: torch sees {gpus} GPUs; take --device cpu')
    if device.type == 'cuda':
        device = torch.device('cuda', device.index or 0)
        torch.cuda.set_device(device)
    return device
