"""Checks of the data that a config trains and is evaluated on.

Most raise a `UserError` of one line before anything is built; `report_data` collects
every fault of every image.
"""

from .classes import check_classes, check_same_classes
from .loaders import use_checked_loaders
from .paths import RequiredPath, data_folders, required_paths
from .segmentation.pipelines import settle_label_checks
from .splits import check_data

__all__ = [
    'RequiredPath',
    'check_classes',
    'check_data',
    'check_same_classes',
    'data_folders',
    'required_paths',
    'settle_label_checks',
    'use_checked_loaders',
]
