"""Dicts of tensors: their names, and whether they cover a backbone.

Pure functions, without files: backbones use them too.
"""

from .classifier_keys import flatten_classifier, nest_classifier
from .coverage import CoverageError, Fit, fit_backbone, fits, form_of, is_sound
from .keys import (
    find_prefixes,
    find_weights,
    from_released,
    rename_released,
    rename_to_released,
    strip_prefix,
    to_released,
    weights_key,
)
from .position_table import find_resized, resize_position_table, resize_tables
from .summary import fold_names, summarize
from .swin_fit import SwinFit, fit_swin
from .swin_keys import find_swin_prefixes, swin_names, to_own_layout

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
