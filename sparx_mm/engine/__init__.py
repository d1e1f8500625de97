"""Running: what mmengine lacks, and what the command lines call."""

# before anything imports torchvision, as every Runner does
from .. import torchvision  # noqa: F401
from ..errors import UserError, user_errors
from .amp import AMP_DTYPES, BFloat16OptimWrapper
from .cli import ArgumentParser, Options, parse_run_args, run_parser, show_progress
from .config import load_config
from .coverage_hook import CoverageHook
from .distributed import leave_processes
from .label_maps import DumpLabelMaps
from .layer_decay import LayerDecayOptimWrapperConstructor
from .optim_table import OptimTableHook, make_optim_table
from .resume_hook import ResumeHook
from .run import build_runner, load_runner, test, train

__all__ = [
    'AMP_DTYPES',
    'ArgumentParser',
    'BFloat16OptimWrapper',
    'CoverageHook',
    'DumpLabelMaps',
    'LayerDecayOptimWrapperConstructor',
    'OptimTableHook',
    'Options',
    'ResumeHook',
    'UserError',
    'build_runner',
    'leave_processes',
    'load_config',
    'load_runner',
    'make_optim_table',
    'parse_run_args',
    'run_parser',
    'show_progress',
    'test',
    'train',
    'user_errors',
]
