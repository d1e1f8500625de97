"""What a checkpoint says about its own use: the model and the test pipeline, as plain data.

mmengine keeps the text of the config in a checkpoint and evaluates it, which a safe reader
does not. These settings are dicts, lists, text and numbers. They are still not harmless as
they come, because a ``type`` may name anything that Python can import: what is read is held to
the parts that the libraries and this package register.
"""

import copy
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, TASK_UTILS, TRANSFORMS, init_default_scope

from ...config_nodes import has_teacher, walk
from ...errors import UserError
from ...libraries import LIBRARIES

# key in a checkpoint's ``meta``
KEY = 'test_settings'
_PACKAGES = {'mmcv', 'mmdet', 'mmengine', 'mmpretrain', 'mmrotate', 'mmseg', 'sparx_mm', 'torch'}
# modules of those packages whose parts fetch code or programs, or evaluate what they are given
_REFUSED = {
    'hugging_face',
    'huggingface',
    'language_models',
    'multimodal',
    'rfsearch',
    'timm',
    'timm_backbone',
    'tokenizer',
    'tracking',
}
# names that mmcv looks up by itself, and evaluates
_SUPPRESSIONS = {'nms', 'soft_nms', 'nms_rotated', 'nms_quadri', 'nms_match'}
_PLAIN = (str, int, float, bool, type(None))


def collect_settings(cfg: Config) -> dict | None:
    """Collect what inference needs of a config.

    Args:
        cfg (Config): A whole config.

    Returns:
        dict or None: Plain data; None if the config has no model or no test pipeline, or holds
        objects that are not data.
    """
    pipelines = [node for _, node in walk(cfg.get('test_dataloader') or {}) if node.get('pipeline')]
    if not pipelines or not cfg.get('model') or cfg.get('default_scope') not in LIBRARIES:
        return None
    found = dict(
        default_scope=cfg.default_scope,
        model=cfg.model,
        pipeline=pipelines[0]['pipeline'],
        tta_model=cfg.get('tta_model'),
        tta_pipeline=cfg.get('tta_pipeline'),
    )
    try:
        settings = _plain(found)
    except TypeError:
        return None
    if has_teacher(settings['model']):
        settings['model']['teacher'] = None
    for _, node in walk(settings['model']):
        # the first two are files on the machine that trained; some models require the keys
        for key in {'init_cfg', 'pretrained', 'train_cfg'} & set(node):
            node[key] = None
    return settings


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    if isinstance(value, type):
        # a class in the place of its name, as in mmengine's newer configs
        return value.__name__
    if isinstance(value, _PLAIN):
        return value
    raise TypeError(f'{type(value).__name__} is not data')


def read_settings(checkpoint: dict, source: str) -> Config:
    """Make the config for inference that a checkpoint carries.

    Args:
        checkpoint (dict): Its content.
        source (str): Its name, for messages.

    Returns:
        Config: A config with a model and a test pipeline, and without data sets.

    Raises:
        UserError: If it carries none, or if they name a part that is not a registered one of
            the libraries or this package.
    """
    meta = checkpoint.get('meta')
    settings = meta.get(KEY) if isinstance(meta, dict) else None
    remedy = 'give the config that it was trained with beside it'
    if not isinstance(settings, dict):
        raise UserError(
            f'{source} carries no test settings (those that are saved with our '
            f'SafeCheckpointHook do): {remedy}'
        )
    try:
        settings = _plain(copy.deepcopy(settings))
        scope, model = settings['default_scope'], settings['model']
        pipeline, sets = settings['pipeline'], LIBRARIES[scope].empty_set
        kinds = set(
            _types([model, pipeline, settings.get('tta_model'), settings.get('tta_pipeline')])
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f'{source}: its test settings are damaged ({error!r}): {remedy}') from error
    if find_spec(scope) is None:
        raise UserError(
            f'{source} is for {scope}, which is not installed: {LIBRARIES[scope].remedy}'
        )
    init_default_scope(scope)
    # this imports the library's registries
    with MODELS.switch_scope_and_registry(scope):
        for module in LIBRARIES[scope].parts:
            import_module(module)
    unknown = sorted(kind for kind in kinds if not _is_registered(kind))
    if unknown:
        raise UserError(
            f'{source}: its test settings name {", ".join(unknown)}, which is no part that '
            f'{scope} or this package registers, or one that may run code: {remedy}'
        )
    metainfo = {
        k: v for k, v in (meta.get('dataset_meta') or {}).items() if k in ('classes', 'palette')
    }
    more = {key: settings[key] for key in ('tta_model', 'tta_pipeline') if settings.get(key)}
    return Config(
        dict(
            default_scope=scope,
            model=model,
            test_dataloader=dict(
                dataset=dict(type=sets, metainfo=_plain(metainfo), pipeline=pipeline)
            ),
            visualizer=dict(type=LIBRARIES[scope].visualizer),
            test_pipeline=copy.deepcopy(pipeline),
            **more,
        )
    )


def _types(value: Any) -> Iterator[str]:
    """Yield every value of a key that names a part."""
    for _, node in walk(value if value is not None else {}):
        for key, kind in node.items():
            if key == 'type':
                yield str(kind)
            elif key == '_scope_' and kind not in LIBRARIES:
                # mmengine imports it
                yield f'_scope_ {kind}'


def _is_registered(kind: str) -> bool:
    """Return True for a part of the libraries, whichever of those with its name is taken."""
    if kind in _SUPPRESSIONS:
        return True
    inner, _, name = kind.rpartition('.')
    if inner not in ('', *LIBRARIES, 'sparx_mm'):
        return False
    roots = (MODELS, TASK_UTILS, TRANSFORMS)
    # a library imports mmcv, which registers in the roots: all of them before the first look
    for registry in [child for root in roots for child in root.children.values()]:
        registry.import_from_location()
    found = []
    for root in roots:
        # a library's registry asks mmengine's for what it does not have
        for registry in (root, *root.children.values()):
            registry.import_from_location()
            if inner in ('', registry.scope) or registry is root:
                found += [part for key, part in registry.module_dict.items() if key == name]
    return all(map(_only_computes, found)) if found else _is_operator(kind)


def _only_computes(part: Any) -> bool:
    names = getattr(part, '__module__', '').split('.')
    return names[0] in _PACKAGES and not _REFUSED & set(names)


def _is_operator(kind: str) -> bool:
    """Return True for a layer of mmcv.ops, which heads look up there."""
    try:
        from mmcv import ops
    except ImportError:
        return False
    part = getattr(ops, kind, None) if kind.isidentifier() else None
    return isinstance(part, type) and _only_computes(part)
