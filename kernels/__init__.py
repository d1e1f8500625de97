"""Operators on tensors: scans, norms and depthwise convolutions; they know nothing of the models.

Importing needs torch alone; where numba is installed, it makes the CPU path fast.
"""

import sys

from .autocast import without_autocast
from .depthwise_conv import depthwise_conv, depthwise_weight_gradient
from .dispatch import backend_report, is_traced, uses_triton
from .group_norm import group_norm
from .layer_norm import layer_norm
from .selective_scan import selective_scan
from .ss2d import ss2d

__all__ = [
    'backend_report',
    'depthwise_conv',
    'depthwise_weight_gradient',
    'group_norm',
    'is_traced',
    'layer_norm',
    'selective_scan',
    'ss2d',
    'uses_triton',
    'without_autocast',
]

# because a function has the name of its package, `import sparx_mm.kernels.ss2d.numba as m`
# asks the function for its backend
for _function in (depthwise_conv, group_norm, layer_norm, selective_scan, ss2d):
    _function.__dict__ = vars(sys.modules[_function.__module__])
