"""Functions that the command lines call: runs from a config, checks before them."""

from .cli import (
    ArgumentParser,
    CfgOptionsAction,
    add_cfg_options,
    add_compile_option,
    draw_set,
    parse_run_args,
    run_parser,
    show_progress,
)
from .compilation import compile_backbones
from .config import load_config
from .data import load_dataset
from .distributed import destroy_distributed
from .preflight import last_checkpoint
from .runner import build_runner, load_runner, test, train
from .tracking import TRACKERS

__all__ = [
    'TRACKERS',
    'ArgumentParser',
    'CfgOptionsAction',
    'add_cfg_options',
    'add_compile_option',
    'build_runner',
    'compile_backbones',
    'destroy_distributed',
    'draw_set',
    'last_checkpoint',
    'load_config',
    'load_dataset',
    'load_runner',
    'parse_run_args',
    'run_parser',
    'show_progress',
    'test',
    'train',
]
