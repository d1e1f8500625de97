"""Functions that the command lines call: runs from a config, checks before them."""

from .cli import ArgumentParser, CfgOptionsAction, parse_run_args, run_parser, show_progress
from .config import load_config
from .distributed import destroy_distributed
from .runner import build_runner, load_runner, test, train

__all__ = [
    'ArgumentParser',
    'CfgOptionsAction',
    'build_runner',
    'destroy_distributed',
    'load_config',
    'load_runner',
    'parse_run_args',
    'run_parser',
    'show_progress',
    'test',
    'train',
]
