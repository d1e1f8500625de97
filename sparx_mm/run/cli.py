"""Options that the command lines share, and errors of one line."""

import argparse
import os
from collections.abc import Callable
from typing import Any

from mmengine.config import DictAction

from ..errors import UserError, fail


class ArgumentParser(argparse.ArgumentParser):
    """Parser that reports a bad argument in one line, with status 2."""

    def error(self, message: str) -> None:
        """Print a message and exit."""
        fail(f'{message} (see {self.prog} --help)', 2)


class CfgOptionsAction(DictAction):
    """mmengine's ``KEY=VALUE`` action; argparse reports its errors."""

    def __call__(self, parser, namespace, values, option_string=None):
        for value in values or []:
            if not value.partition('=')[1] or value.startswith('='):
                raise argparse.ArgumentError(self, f'{value!r} is not of the form KEY=VALUE')
            try:
                super().__call__(parser, namespace, [value], option_string)
            except (AssertionError, RecursionError) as error:
                raise argparse.ArgumentError(
                    self, f'{value} cannot be read: brackets do not match, or it is a dict'
                ) from error


def run_parser(description: str) -> ArgumentParser:
    """Make a parser with the options that train.py and test.py share.

    Args:
        description (str): First line of the help text.

    Returns:
        ArgumentParser: The parser; ``config`` is its first argument.
    """
    parser = ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir',
        help='folder for logs, checkpoints and metrics; default: '
        'work_dirs/ and the name of the config',
    )
    add_cfg_options(
        parser,
        help='override settings of the config. Lists are a,b or "[a,b]", '
        'nested ones "[(a,b),(c,d)]": with the quotes and without spaces',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes; default: none, a single one',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read checkpoints as plain pickles, which runs what is in them',
    )
    # torch's launchers have used both spellings
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, help='set by torch.distributed.launch'
    )
    return parser


def add_cfg_options(
    parser: ArgumentParser, help: str = 'override settings of the config', **kwargs: Any
) -> None:
    """Add ``--cfg-options`` to a parser.

    Args:
        parser (ArgumentParser): Parser of a program that reads a config.
        help (str): What is overridden. Default: ``'override settings of the config'``.
        **kwargs: More arguments of ``add_argument``.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help=help,
        **kwargs,
    )


def add_compile_option(parser: ArgumentParser) -> None:
    """Add ``--compile`` to a parser.

    Args:
        parser (ArgumentParser): Parser of a program that runs a model.
    """
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile the backbone with torch.compile: it takes a minute or more at the '
        'start, and inference is faster then',
    )


def parse_run_args(parser: ArgumentParser) -> dict:
    """Parse the command line of a run.

    Args:
        parser (ArgumentParser): Parser made by `run_parser`.

    Returns:
        dict: The options, without ``local_rank``: that goes into the
        environment, where mmengine reads it.
    """
    args = vars(parser.parse_args())
    local_rank = args.pop('local_rank')
    # without a launcher there is one process; with one, it is missed if it is not set
    if local_rank is None and args['launcher'] == 'none':
        local_rank = 0
    if local_rank is not None:
        os.environ.setdefault('LOCAL_RANK', str(local_rank))
    return args


def show_progress(done: int, total: int) -> None:
    """Print the number of steps done on one line of the terminal.

    Args:
        done (int): Number of steps done.
        total (int): Number of all steps; the last one ends the line.
    """
    print(f'\r{done}/{total}', end='\n' if done == total else '', flush=True)


def draw_set(make: Callable[..., bool], description: str, root: str) -> None:
    """Parse the command line of a tool that draws a set, draw it, and print what was done.

    Args:
        make (Callable): `make_shapes`, or a function of the same arguments.
        description (str): First line of the help text.
        root (str): Default folder of the set.

    Raises:
        UserError: If the set cannot be drawn with these arguments.
    """
    parser = ArgumentParser(description=description)
    add = parser.add_argument
    add('root', nargs='?', default=root, help=f'folder of the set; default: {root}')
    add('--train', type=int, default=400, metavar='N', help='training images; default: 400')
    add('--val', type=int, default=100, metavar='N', help='validation images; default: 100')
    add('--size', type=int, default=128, help='height and width in pixels; default: 128')
    add('--seed', type=int, default=0, help='seed of the drawing; default: 0')
    args = parser.parse_args()
    try:
        drawn = make(args.root, args.train, args.val, args.size, args.seed, show_progress)
    except (ValueError, OSError) as error:
        raise UserError(error) from error
    print(
        f'{args.root}: {"drawn" if drawn else "already there"}, '
        f'{args.train} training and {args.val} validation images'
    )
