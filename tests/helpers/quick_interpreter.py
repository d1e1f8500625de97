"""Speed up Triton's interpreter when imported; what it computes stays."""

from types import SimpleNamespace

import triton.language as tl
from triton.runtime import interpreter

_everything = SimpleNamespace(__globals__=dict(tl=tl, core=tl.core))
_patch_lang = interpreter._patch_lang

# Triton's own code replaces the functions of triton.language before each call of a
# device function, which takes a third of the time: here a launch replaces them, once
interpreter._patch_lang = lambda fn: _patch_lang(_everything)


def _call_device_function(self, *args, **kwargs):
    return self.rewrite()(*args, **kwargs)


interpreter.InterpretedFunction.__call__ = _call_device_function
_get_np_dtype, _np_dtypes = interpreter._get_np_dtype, {}


def _cached_np_dtype(tt_dtype):
    if tt_dtype.name not in _np_dtypes:
        _np_dtypes[tt_dtype.name] = _get_np_dtype(tt_dtype)
    return _np_dtypes[tt_dtype.name]


# Triton's own code makes a dictionary of all types at each call
interpreter._get_np_dtype = _cached_np_dtype
