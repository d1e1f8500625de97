"""Dicts of tensors: their names, and whether they cover a backbone.

Pure functions, without files: backbones use them too.
"""
from .coverage import CoverageError, Fit, fit_backbone, fits, form_of, is_sound
from .keys import (find_prefixes, find_weights, from_released, rename_released,
                   rename_to_released, strip_prefix, to_released, weights_key)
from .summary import fold_names, summarize

__all__ = [
    'CoverageError', 'Fit', 'find_prefixes', 'find_weights', 'fit_backbone',
    'fits', 'form_of', 'is_sound', 'fold_names', 'from_released',
    'rename_released', 'rename_to_released', 'strip_prefix', 'summarize',
    'to_released', 'weights_key'
]
