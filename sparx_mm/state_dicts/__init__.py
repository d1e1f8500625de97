"""Dicts of tensors: their names, and whether they cover a model.

Pure functions, without files: backbones use them too.
"""

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
from .whole_model import LAST_LAYERS, flatten_model, nest_model

__all__ = [
    'FAMILIES',
    'GROUPMAMBA',
    'LAST_LAYERS',
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
    'flatten_model',
    'fold_names',
    'match',
    'nest_model',
    'require_finite',
    'resize_position_grid',
    'resize_position_table',
    'resize_tables',
    'strip_prefix',
    'summarize',
    'weights_key',
]
