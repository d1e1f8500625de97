"""Dicts of tensors: their names, and whether they cover a model.

Pure functions, without files: backbones use them too.
"""

from .classifier import flatten_classifier, nest_classifier
from .families import (
    FAMILIES,
    GROUPMAMBA,
    PLAINMAMBA,
    SPARX,
    SWIN,
    VIM,
    VMAMBA,
    VMUNET,
    VSSD,
    find_families,
    find_prefixes,
)
from .fit import fit
from .keymap import KeyMap
from .match import CoverageError, Report, match, require_finite
from .names import fold_names, summarize
from .nesting import drop_other_weights, find_weights, strip_prefix, weights_key
from .position_table import (
    find_resized,
    resize_position_grid,
    resize_position_table,
    resize_tables,
)

__all__ = [
    'FAMILIES',
    'GROUPMAMBA',
    'PLAINMAMBA',
    'SPARX',
    'SWIN',
    'VIM',
    'VMAMBA',
    'VMUNET',
    'VSSD',
    'CoverageError',
    'KeyMap',
    'Report',
    'drop_other_weights',
    'find_families',
    'find_prefixes',
    'find_resized',
    'find_weights',
    'fit',
    'flatten_classifier',
    'fold_names',
    'match',
    'nest_classifier',
    'require_finite',
    'resize_position_grid',
    'resize_position_table',
    'resize_tables',
    'strip_prefix',
    'summarize',
    'weights_key',
]
