"""Annotations of other formats, read as the content of one file in COCO's format.

mmdet reads VOC's XML beside JPEGs alone, and neither YOLO's nor LabelMe's files; what is
installed here converts from COCO, not to it.
"""

from .classes import align_classes, has_masks, keep_classes
from .content import Content
from .read import read_annotations
from .yolo_names import find_names, is_yaml, yaml_folders

__all__ = [
    'Content',
    'align_classes',
    'find_names',
    'has_masks',
    'is_yaml',
    'keep_classes',
    'read_annotations',
    'yaml_folders',
]
