"""Operators on tensors: scans, norms and depthwise convolutions; they know nothing of the models.

Importing needs torch alone; where numba is installed, it makes the CPU path fast.
"""

import sys

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

if __name__ != 'sparx_mm.kernels':
    # with a clone's root on sys.path, transformers finds this folder where it looks for
    # the package kernels; without a file it counts as no package
    del __file__
    __all__, __path__ = [], []
else:
    from .autocast import without_autocast
    from .depthwise_conv import depthwise_conv, depthwise_weight_gradient
    from .dispatch import backend_report, is_traced, uses_triton
    from .group_norm import group_norm
    from .layer_norm import layer_norm
    from .selective_scan import selective_scan
    from .ss2d import ss2d

    # because a function has the name of its package, `import sparx_mm.kernels.ss2d.numba as m`
    # asks the function for its backend
    for _function in (depthwise_conv, group_norm, layer_norm, selective_scan, ss2d):
        _function.__dict__ = vars(sys.modules[_function.__module__])
