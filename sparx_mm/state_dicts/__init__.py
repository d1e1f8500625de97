"""Dicts of tensors: their names, and whether they cover a backbone.

Pure functions, without files: backbones use them too.
"""

from .classifier import flatten_classifier, nest_classifier
from .families.swin import find_swin_prefixes, swin_names, to_own_layout
from .fit import CoverageError, Fit, fit_backbone, fits, form_of, is_sound
from .keymap import (
    find_prefixes,
    find_weights,
    from_released,
    rename_released,
    rename_to_released,
    strip_prefix,
    to_released,
    weights_key,
)
from .names import fold_names, summarize
from .position_table import find_resized, resize_position_table, resize_tables
from .swin_fit import SwinFit, fit_swin

__all__ = [
    'CoverageError',
    'Fit',
    'SwinFit',
    'find_prefixes',
    'find_resized',
    'find_swin_prefixes',
    'find_weights',
    'fit_backbone',
    'fit_swin',
    'fits',
    'flatten_classifier',
    'fold_names',
    'form_of',
    'from_released',
    'is_sound',
    'nest_classifier',
    'rename_released',
    'rename_to_released',
    'resize_position_table',
    'resize_tables',
    'strip_prefix',
    'summarize',
    'swin_names',
    'to_own_layout',
    'to_released',
    'weights_key',
]
