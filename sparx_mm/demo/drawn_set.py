"""A drawn data set on the disk, which is whole or not there."""

import json
import os
import os.path as osp
import shutil
import tempfile
from collections.abc import Callable, Iterator

SPLITS = ('train', 'val')


def check_numbers(num_train: int, num_val: int, size: int, seed: int) -> None:
    """Check what a set is drawn with.

    Args:
        num_train (int): Number of training images.
        num_val (int): Number of validation images.
        size (int): Height and width in pixels.
        seed (int): Seed of the set.

    Raises:
        ValueError: If one is out of range.
    """
    if min(num_train, num_val) < 1 or size < 16 or seed < 0:
        raise ValueError(
            'num_train and num_val must be at least 1, size at least 16 and '
            f'seed not negative, got {num_train}, {num_val}, {size}, {seed}'
        )


def write_set(
    root: str,
    name: str,
    manifest: dict,
    list_files: Callable[[dict], set[str]],
    write: Callable[[str], Iterator[None]],
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Write a set, unless it is there already.

    It is drawn in a temporary folder beside ``root`` and then renamed, so that a ``root`` is
    always complete.

    Args:
        root (str): Folder of the set.
        name (str): File name of the manifest, which is written last: a folder without it is
            not ours or not complete.
        manifest (dict): What the set is drawn with: ``num_train``, ``num_val`` and more.
        list_files (Callable): Maps a manifest to the relative paths of the set's other files.
        write (Callable): Writes the set into a folder, and yields after each image.
        progress (callable, optional): Function of the number of images drawn
            and of all images, called after each. Default: None.

    Returns:
        bool: True if the set was drawn, False if ``root`` already held it.

    Raises:
        FileExistsError: If ``root`` holds files that are not part of a drawn set.
    """
    root = osp.abspath(root)
    if _read_manifest(root, name, list_files) == manifest:
        return False
    os.makedirs(osp.dirname(root), exist_ok=True)
    temporary = tempfile.mkdtemp(prefix=f'.{osp.basename(root)}-', dir=osp.dirname(root))
    try:
        # readable by all, because mkdtemp makes it private
        os.chmod(temporary, 0o755)
        total = sum(manifest[f'num_{split}'] for split in SPLITS)
        for done, _ in enumerate(write(temporary), 1):
            if progress is not None:
                progress(done, total)
        write_json(osp.join(temporary, name), manifest)
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


def _read_manifest(root, name, list_files):
    """Return the manifest of a set that holds its own files and no others."""
    if not osp.isdir(root) or not os.listdir(root):
        return None
    try:
        with open(osp.join(root, name)) as file:
            manifest = json.load(file)
        expected = {name, *list_files(manifest)}
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
