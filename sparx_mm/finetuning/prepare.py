"""A user's data in the layout that the libraries read, made once and kept beside the run."""

import hashlib
import json
import os
import os.path as osp
from collections.abc import Iterator

from ..checkpoint_io import write_text
from ..errors import UserError
from ..image_files import walk_folders
from .convert import CONVERTERS
from .request import Facts, Request
from .sources import find_names, is_yaml, yaml_folders

SOURCE = 'source.json'
# raise it when a converter changes
VERSION = 3


def prepare_data(request: Request, folder: str) -> Facts:
    """Convert data, unless that was done and the source is as it was.

    Args:
        request (Request): The data.
        folder (str): Folder for the converted files.

    Returns:
        Facts: Facts about them.

    Raises:
        UserError: If they cannot be trained.
    """
    _check_request(request)
    _check_apart(request, folder)
    path, source = osp.join(folder, SOURCE), fingerprint(request)
    kept = _read(path)
    if kept.get('source') == source:
        return Facts(**kept['facts'])
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UserError(f'{osp.abspath(folder)} cannot be written: {error.strerror}') from error
    if kept:
        # those files are written over, and an interruption would leave some of either source
        os.remove(path)
    facts = CONVERTERS[request.task](request, osp.abspath(folder))
    # last, so that an interrupted conversion is done again
    write_text(path, json.dumps(dict(source=source, request=request, facts=facts._asdict())))
    return facts


def is_checked(folder: str) -> bool:
    """Return True if converted data have passed the data check.

    Args:
        folder (str): Folder of the converted files.
    """
    return _read(osp.join(folder, SOURCE)).get('checked', False)


def mark_checked(folder: str) -> None:
    """Note that converted data have passed the data check; another conversion forgets it.

    Args:
        folder (str): Folder of the converted files.
    """
    path = osp.join(folder, SOURCE)
    write_text(path, json.dumps(dict(_read(path), checked=True)))


def check_unchanged(folder: str) -> tuple[Request, Facts]:
    """Check that data are still those that a run began with.

    Args:
        folder (str): Folder of the converted files.

    Returns:
        tuple[Request, Facts]: What the run was asked for, and facts about its data.

    Raises:
        UserError: If they changed, or were not converted.
    """
    kept = _read(osp.join(folder, SOURCE))
    if not kept:
        raise UserError(f'{osp.abspath(folder)} holds no converted data: start without --resume')
    request = Request(*kept['request'])
    request = request._replace(classes=request.classes and tuple(request.classes))
    if fingerprint(request) != kept['source']:
        raise UserError(
            'the images or annotations changed since the run began: start anew in another '
            '--work-dir (with its last checkpoint as --weights), or go on by hand on the '
            'converted ones with tools/train.py'
        )
    return request, Facts(**kept['facts'])


def fingerprint(request: Request) -> str:
    """Return a text that changes with the files of a source and with what is asked of it.

    Args:
        request (Request): The data.
    """
    places = [getattr(request, key) for key in ('images', 'annotations')]
    places += [request.val_images, request.val_annotations]
    files = dict(train=request.annotations, val=request.val_annotations or request.annotations)
    for split, path in files.items():
        if is_yaml(path) and osp.isfile(path):
            places += yaml_folders(path, split) or ()
        elif request.task == 'detection' and request.classes is None:
            places.append(_names_beside(path or request.images, request.images))
    stats = [list(_stats(place)) for place in places if place]
    text = json.dumps([VERSION, request, stats])
    return hashlib.sha256(text.encode()).hexdigest()


def _names_beside(annotations: str | None, images: str | None) -> str | None:
    """Find the file of class names that a folder of YOLO's labels has; None without one."""
    if annotations is None or not osp.isdir(annotations):
        return None
    try:
        return find_names(annotations, images or annotations)
    except UserError:
        return None


def _stats(place: str) -> Iterator[tuple[str, int, int]]:
    if osp.isfile(place):
        stat = os.stat(place)
        yield osp.abspath(place), stat.st_size, stat.st_mtime_ns
    for parent, folders, names in walk_folders(place):
        folders.sort()
        # an empty one too, which may be a class
        yield from ((osp.join(parent, name), 0, 0) for name in folders)
        for name in sorted(names):
            path = osp.join(parent, name)
            if osp.isfile(path):
                stat = os.stat(path)
                yield osp.abspath(path), stat.st_size, stat.st_mtime_ns


def _check_request(request: Request) -> None:
    if request.images is None and not _names_images(request, request.annotations):
        raise UserError('--images DIR is missing: the folder of the images')
    if request.images is not None and not osp.isdir(request.images):
        raise UserError(f'--images: there is no folder {osp.abspath(request.images)}')
    if request.task == 'segmentation' and request.annotations is None:
        raise UserError('--annotations DIR is missing: the folder of the label maps (index PNGs)')
    for start in ('', 'val_'):
        _check_pair(request, f'{start}images', f'{start}annotations')
    alone = request.val_images is not None and request.val_annotations is None
    if alone and request.task != 'classification':
        raise UserError('--val-images needs --val-annotations, which belong to them')


def _names_images(request: Request, annotations: str | None) -> bool:
    return request.task == 'detection' and is_yaml(annotations)


def _check_pair(request: Request, images: str, annotations: str) -> None:
    """Check that neither images nor annotations are given in vain."""
    path = getattr(request, annotations)
    images_option, option = (f'--{name.replace("_", "-")}' for name in (images, annotations))
    if request.task == 'classification' and path is not None:
        raise UserError(
            f'{option} is not read for classification: the folders of {images_option} are the '
            'classes'
        )
    if _names_images(request, path) and getattr(request, images) is not None:
        raise UserError(
            f'{images_option} is not read beside {option} {path}, which names its own images: '
            'leave one of them out'
        )


def _check_apart(request: Request, folder: str) -> None:
    """Check that the run does not write among the data, which its files would change."""
    inner = osp.join(osp.realpath(folder), '')
    for place in (request.images, request.annotations, request.val_images, request.val_annotations):
        if place and osp.isdir(place) and inner.startswith(osp.join(osp.realpath(place), '')):
            raise UserError(
                f'--work-dir is inside of {osp.abspath(place)}, whose files are the data: give '
                'another'
            )


def _read(path: str) -> dict:
    try:
        with open(path, encoding='utf-8') as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}
