"""A drawn data set on the disk, which is whole or not there."""

import json
import os
import os.path as osp
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

_SPLITS = ('train', 'val')


class SetKind(NamedTuple):
    """What the sets of a writer have in common.

    Args:
        manifest (str): File name of the manifest, which is written last: a folder without it
            is not ours or not complete.
        what (str): Description, for the manifest.
        version (int): Version of the writer: a set of another one is drawn again.
        classes (tuple[str]): Names of the classes.
        list_split (Callable): Maps the name of a split and its number of images to the
            relative paths of its files.
        write_split (Callable): Writes a split, and yields after each image, given the folder
            of the set, the name of the split, its number of images, their size, and what
            the seed of each image begins with.
    """

    manifest: str
    what: str
    version: int
    classes: tuple[str, ...]
    list_split: Callable[[str, int], set[str]]
    write_split: Callable[[str, str, int, int, tuple[int, int]], Iterator[None]]


def write_set(
    root: str,
    kind: SetKind,
    num_train: int,
    num_val: int,
    size: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Write a set, unless it is there already.

    It is drawn in a temporary folder beside ``root`` and then renamed, so that a ``root`` is
    always complete.

    Args:
        root (str): Folder of the set.
        kind (SetKind): What is drawn.
        num_train (int): Number of training images.
        num_val (int): Number of validation images.
        size (int): Height and width in pixels.
        seed (int): Seed of the set.
        progress (callable, optional): Function of the number of images drawn
            and of all images, called after each. Default: None.

    Returns:
        bool: True if the set was drawn, False if ``root`` already held it.

    Raises:
        ValueError: If a number is out of range.
        FileExistsError: If ``root`` holds files that are not part of a drawn set.
    """
    if min(num_train, num_val) < 1 or size < 16 or seed < 0:
        raise ValueError(
            'num_train and num_val must be at least 1, size at least 16 and '
            f'seed not negative, got {num_train}, {num_val}, {size}, {seed}'
        )
    manifest = dict(
        what=kind.what,
        version=kind.version,
        classes=list(kind.classes),
        num_train=num_train,
        num_val=num_val,
        size=size,
        seed=seed,
    )
    root = osp.abspath(root)
    if _read_manifest(root, kind) == manifest:
        return False
    os.makedirs(osp.dirname(root), exist_ok=True)
    temporary = tempfile.mkdtemp(prefix=f'.{osp.basename(root)}-', dir=osp.dirname(root))
    try:
        # readable by all, because mkdtemp makes it private
        os.chmod(temporary, 0o755)
        for done, _ in enumerate(_write_splits(temporary, kind, manifest), 1):
            if progress is not None:
                progress(done, num_train + num_val)
        write_json(osp.join(temporary, kind.manifest), manifest)
        if osp.isdir(root):
            shutil.rmtree(root)
        os.rename(temporary, root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True


def write_json(path: str, content: dict) -> None:
    """Write a JSON file.

    Args:
        path (str): The file.
        content (dict): Its content.
    """
    with open(path, 'w') as file:
        json.dump(content, file)


def _write_splits(root, kind, manifest):
    """Write the splits from different seeds; yield after each image."""
    for number, split in enumerate(_SPLITS):
        seed = manifest['seed'], number
        yield from kind.write_split(root, split, manifest[f'num_{split}'], manifest['size'], seed)


def _read_manifest(root, kind):
    """Return the manifest of a set that holds its own files and no others."""
    if not osp.isdir(root) or not os.listdir(root):
        return None
    try:
        with open(osp.join(root, kind.manifest)) as file:
            manifest = json.load(file)
        expected = {kind.manifest}
        for split in _SPLITS:
            expected |= kind.list_split(split, manifest[f'num_{split}'])
    except (OSError, ValueError, KeyError, TypeError):
        expected = set()
    found = {
        osp.relpath(osp.join(folder, file), root).replace(os.sep, '/')
        for folder, _, files in os.walk(root)
        for file in files
    }
    foreign = sorted(found - expected)
    if foreign:
        raise FileExistsError(
            f'{root} holds files that are not of a drawn set, for example '
            f'{foreign[0]}; choose another folder'
        )
    # a set that lacks an image is another one, to be drawn again
    return manifest if found == expected else {}
