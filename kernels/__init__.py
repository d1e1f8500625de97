"""Selective-scan operators: functions on tensors, and nothing of the models.

Importing needs torch alone; where numba is installed, it makes the CPU path fast.
"""

from .autocast import without_autocast
from .dispatch import backend_report
from .selective_scan import selective_scan
from .ss2d import ss2d

__all__ = ['backend_report', 'selective_scan', 'ss2d', 'without_autocast']
