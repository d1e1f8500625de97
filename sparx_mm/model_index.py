"""The configs that come with the package, and the index of their models.

They are in the folder ``.mim`` of the package, where OpenMMLab's packages have theirs: in a
clone as links to ``configs/``, ``tools/`` and ``model-index.yml``. Where links are not
supported, as in a clone from a ZIP file, they are read where the links would lead.
"""

import functools
from difflib import get_close_matches
from pathlib import Path

import yaml

from .errors import UserError


def _find_folder() -> Path:
    package = Path(__file__).resolve().parent
    folder, clone = package / '.mim', package.parent
    # git and pip write a text file in place of a link
    is_text = not (folder / 'configs').is_dir() and (clone / 'model-index.yml').is_file()
    return clone if is_text else folder


FOLDER = _find_folder()
# what the name of a config begins with where a path may stand, and that of released weights
CONFIG_PREFIX, WEIGHTS_PREFIX = 'sparx_mm::', 'sparx_mm://'


@functools.cache
def read_models() -> dict[str, dict]:
    """Read the models of the index, as ``model-index.yml`` and its metafiles list them.

    Returns:
        dict[str, dict]: Each model's entry by its name; none if the index is not there.
    """
    index = FOLDER / 'model-index.yml'
    if not (FOLDER / 'configs').is_dir() or not index.is_file():
        return {}
    models = [_read(FOLDER / path)['Models'] for path in _read(index)['Import']]
    return {model['Name']: model for group in models for model in group}


def find_model(name: str) -> dict:
    """Find a model of the index.

    Args:
        name (str): Its name, such as ``'mask_rcnn_sparx_t_3x'``.

    Returns:
        dict: Its entry: ``Config``, ``Metadata``, and where there are such ``Results`` and
        ``Weights``.

    Raises:
        UserError: If there is none of this name.
    """
    models = read_models()
    if not models:
        raise UserError(
            f'{FOLDER} has no configs and no index of models: install a wheel of sparx_mm, '
            'or a clone that git made'
        )
    if name not in models:
        near = get_close_matches(name, models, 3, 0.5)
        raise UserError(
            f'no config or model {name!r} comes with sparx_mm'
            + (f'; did you mean {" or ".join(near)}?' if near else '')
            + '; all are listed by python -c '
            '"from sparx_mm.model_index import read_models; print(*read_models())"'
        )
    return models[name]


def suggest(path: str) -> str:
    """Suggest the shipped config that a path without a file may mean.

    Args:
        path (str): Path of a config, or name of a model.

    Returns:
        str: End of a message: ``'; did you mean sparx_mm::NAME?'``, or ``''``.
    """
    name = Path(path).name.removesuffix('.py')
    return f'; did you mean {CONFIG_PREFIX}{name}?' if name in read_models() else ''


def config_path(name: str | Path) -> str:
    """Find a config that comes with the package.

    Args:
        name (str or Path): Path below ``configs/``, or name of a model; ``sparx_mm::`` may
            precede it.

    Returns:
        str: Its path.

    Raises:
        UserError: If there is no such config.

    Example:
        >>> from sparx_mm import config_path
        >>> config_path('mmdet/mask_rcnn_sparx_t_3x.py') == config_path('mask_rcnn_sparx_t_3x')
        True
    """
    name = str(name).removeprefix(CONFIG_PREFIX)
    path = FOLDER / 'configs' / name
    if not path.is_file():
        path = FOLDER / find_model(name)['Config']
    return str(path.resolve())


def weights_url(name: str) -> str:
    """Find the weights that a model's authors have released.

    Args:
        name (str): Name of the model; ``sparx_mm://`` may precede it.

    Returns:
        str: URL of the file; ``#sha256=`` and the digits that are known of it follow.

    Raises:
        UserError: If there is no such model, or if none were released.
    """
    model = find_model(name.removeprefix(WEIGHTS_PREFIX))
    if 'Weights' not in model:
        raise UserError(
            f'no weights of {model["Name"]} were released: train it, or give a file of yours'
        )
    digits = model['Metadata'].get('SHA-256')
    return model['Weights'] + (f'#sha256={digits}' if digits else '')


def _read(path: Path) -> dict:
    # the C loader takes a tenth of the time
    return yaml.load(path.read_text(), getattr(yaml, 'CSafeLoader', yaml.SafeLoader))
