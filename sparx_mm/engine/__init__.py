"""Running: what mmengine lacks, and what the command lines call."""
from .cli import (ArgumentParser, Options, parse_run_args, run_parser,
                  show_progress)
from .config import load_config
from .download import DownloadError, fetch
from .errors import UserError, user_errors
from .run import build_runner, load_runner, test, train

__all__ = [
    'ArgumentParser', 'DownloadError', 'Options', 'UserError', 'build_runner',
    'fetch', 'load_config', 'load_runner', 'parse_run_args', 'run_parser',
    'show_progress', 'test', 'train', 'user_errors'
]
