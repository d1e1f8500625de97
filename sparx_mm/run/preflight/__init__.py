"""Checks before anything is built: machine, settings, folders and weights.

Each raises a `UserError` of one line that says what was looked for, where it
was looked for, and what to type.
"""

from .folders import ensure_writable, last_checkpoint
from .machine import check_device, check_display, check_packages, check_training_device
from .settings import check_settings, settle_workers
from .weights import check_checkpoint, check_weights, drop_pretrained

__all__ = [
    'check_checkpoint',
    'check_device',
    'check_display',
    'check_packages',
    'check_settings',
    'check_training_device',
    'check_weights',
    'drop_pretrained',
    'ensure_writable',
    'last_checkpoint',
    'settle_workers',
]
