"""What the command lines call: runs from a config, and checks before them."""

from .cli import ArgumentParser, Options, parse_run_args, run_parser, show_progress
from .config import load_config
from .distributed import leave_processes
from .runner import build_runner, load_runner, test, train

__all__ = [
    'ArgumentParser',
    'Options',
    'build_runner',
    'leave_processes',
    'load_config',
    'load_runner',
    'parse_run_args',
    'run_parser',
    'show_progress',
    'test',
    'train',
]
