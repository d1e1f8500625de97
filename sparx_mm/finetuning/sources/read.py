"""The format of a user's annotations, and their reader."""

import os.path as osp
from collections.abc import Callable, Sequence

from ...errors import UserError
from .coco import read_coco_file
from .content import Content
from .images import list_files
from .labelme import read_labelme
from .voc import read_voc
from .yolo import list_labels, read_yolo
from .yolo_names import is_yaml, yaml_folders

# readers of folders by the ending of their files
READERS: dict[str, tuple[str, Callable[..., Content]]] = {
    '.xml': ('VOC', read_voc),
    '.txt': ('YOLO', read_yolo),
    '.json': ('LabelMe', read_labelme),
}


def read_annotations(
    images: str | None, annotations: str, classes: Sequence[str] | None = None, split: str = 'train'
) -> tuple[Content, str]:
    """Read the objects of a set, whichever of four formats they have.

    Args:
        images (str, optional): Folder of the images; a ``data.yaml`` names its own.
        annotations (str): A file in COCO's format, a ``data.yaml`` of YOLO's, or a folder
            of VOC's XML, YOLO's text or LabelMe's JSON files.
        classes (Sequence[str], optional): Class names of files that declare none, in the
            order of their labels. None: those that occur. Default: None.
        split (str): Key of a ``data.yaml``, ``'train'`` or ``'val'``. Default: ``'train'``.

    Returns:
        tuple[Content, str]: The set, and the name of its format.

    Raises:
        UserError: If the format is none of them or a mixture, if a ``data.yaml`` has no
            such split, or if the reader refuses it.
    """
    if osp.isdir(annotations):
        name, reader = _find_reader(annotations)
        return reader(images or annotations, annotations, classes), name
    if not osp.exists(annotations):
        raise UserError(f'no annotations: there is no file or folder {osp.abspath(annotations)}')
    if is_yaml(annotations):
        folders = yaml_folders(annotations, split)
        if folders is None:
            raise UserError(f'{annotations} has no {split}: give the folder of its images there')
        return read_yolo(*folders, classes, annotations), 'YOLO'
    if not annotations.endswith('.json'):
        raise UserError(
            f"--annotations {annotations} is none of: a .json file in COCO's format, a data.yaml, "
            'a folder of .xml (VOC), .txt (YOLO) or .json (LabelMe) files'
        )
    if images is None:
        raise UserError('--images DIR is missing: the folder that the names in the file are in')
    return read_coco_file(images, annotations), 'COCO'


def _find_reader(folder: str) -> tuple[str, Callable[..., Content]]:
    found = {ending: list_files(folder, (ending,)) for ending in ('.xml', '.json')}
    found['.txt'] = list_labels(folder)
    found = {ending: files for ending, files in found.items() if files}
    if len(found) > 1:
        shown = ' and '.join(
            f'{len(files)} {ending} ({READERS[ending][0]}), such as {files[0]}'
            for ending, files in found.items()
        )
        raise UserError(
            f'{osp.abspath(folder)} mixes formats: {shown}: leave the files of one format there'
        )
    if not found:
        raise UserError(
            f'{osp.abspath(folder)} holds no annotation: .xml (VOC), .txt (YOLO) or .json '
            '(LabelMe) files are looked for; give their folder as --annotations'
        )
    return READERS[next(iter(found))]
