"""Checks before anything is built: machine, folders, data and weights.

Each raises a `UserError` of one line that says what was looked for, where it
was looked for, and what to type.
"""

from .data import RequiredPath, check_data, data_folders, required_paths
from .folders import ensure_writable, last_checkpoint
from .label_checks import settle_label_checks
from .machine import check_device, check_display, check_packages, check_training_device
from .settings import check_settings, settle_workers
from .weights import check_checkpoint, check_weights, drop_pretrained

__all__ = [
    'RequiredPath',
    'check_checkpoint',
    'check_data',
    'check_device',
    'check_display',
    'check_packages',
    'check_settings',
    'check_training_device',
    'check_weights',
    'data_folders',
    'drop_pretrained',
    'ensure_writable',
    'last_checkpoint',
    'required_paths',
    'settle_label_checks',
    'settle_workers',
]
