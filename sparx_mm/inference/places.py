"""Where the results of an input are written."""

import os
import os.path as osp
from itertools import chain, count


def find_place(folder: str, name: str, ending: str, used: dict[str, str]) -> str:
    """Return the path of a result, and make its folder.

    Args:
        folder (str): Folder of the results.
        name (str): Relative path of what it is of.
        ending (str): Ending of the result.
        used (dict[str, str]): Names by path so far: inputs of one name and several endings, such
            as ``a.jpg`` and ``a.png``, do not overwrite each other.

    Returns:
        str: The path.
    """
    stems = chain([osp.splitext(name)[0], name], (f'{name}_{i}' for i in count(2)))
    paths = (osp.join(folder, stem + ending) for stem in stems)
    path = next(path for path in paths if used.setdefault(path, name) == name)
    os.makedirs(osp.dirname(path), exist_ok=True)
    return path
