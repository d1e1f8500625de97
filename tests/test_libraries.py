"""Each library is one row, and nothing else compares scopes."""

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, HOOKS, METRICS, DefaultScope

import sparx_mm.engine  # noqa: F401, it registers our metrics
from sparx_mm.libraries import LIBRARIES, find_library
from sparx_mm.run import load_config

ROOT = Path(__file__).resolve().parents[1]


def _compares_scopes(node):
    """Return True for `scope == 'mmdet'` and for a dict or set by library."""
    if isinstance(node, ast.Compare):
        parts = [node.left, *node.comparators]
    elif isinstance(node, ast.Dict):
        parts = node.keys
    elif isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'dict':
        return bool(LIBRARIES.keys() & {keyword.arg for keyword in node.keywords})
    else:
        return False
    return any(
        isinstance(leaf, ast.Constant) and leaf.value in LIBRARIES
        for part in parts
        if part is not None
        for leaf in ast.walk(part)
    )


@pytest.mark.parametrize('text', ["scope == 'mmseg'", "scope in ('mmdet', None)", 'dict(mmdet=1)'])
def test_a_comparison_is_found(text):
    assert any(map(_compares_scopes, ast.walk(ast.parse(text))))


def test_nothing_else_compares_scopes():
    allowed = {
        ROOT / 'sparx_mm/libraries.py',
        # distributions of packages; it works where mmengine is not installed
        ROOT / 'sparx_mm/info.py',
        # layouts of files, two of which are mmpretrain's and mmseg's
        ROOT / 'sparx_mm/checkpoint_io/convert.py',
        ROOT / 'sparx_mm/state_dicts/whole_model.py',
    }
    files = [path for folder in ('sparx_mm', 'tools') for path in (ROOT / folder).rglob('*.py')]
    found = [
        f'{path}:{node.lineno}'
        for path in sorted({*files} - allowed)
        for node in ast.walk(ast.parse(path.read_text()))
        if _compares_scopes(node)
    ]
    assert len(files) > 50 and not found


def test_a_library_of_each_config_folder():
    folders = {path.name for path in (ROOT / 'configs').iterdir()} - {'_base_'}
    assert folders == LIBRARIES.keys()


@pytest.mark.parametrize('name', LIBRARIES)
def test_a_row_names_what_its_library_has(name):
    row = find_library(Config(dict(default_scope=name)))
    assert row is LIBRARIES[name] and row.packages[0] == name
    for part in ('datasets', 'evaluation', 'models'):
        import_module(f'{name}.{part}')
    import_module('mmdet.evaluation')
    config = next((ROOT / f'configs/{name}').glob('*.py'))
    hook = load_config(str(config)).default_hooks.visualization
    with DefaultScope.overwrite_default_scope(name):
        with METRICS.switch_scope_and_registry(None) as metrics:
            assert metrics.get(row.dump_metric) is not None
        with HOOKS.switch_scope_and_registry(None) as hooks:
            hook_class = hooks.get(hook.type)
        with DATASETS.switch_scope_and_registry(None) as datasets:
            for kind in (*row.auto_downloaded, *row.split_is_folder):
                assert datasets.get(kind) is not None
    # what --show-dir gives to the hook
    options = {row.draw_key: True, 'show': False, 'wait_time': 2, 'interval': 1}
    if row.show_dir_key:
        options[row.show_dir_key] = 'painted'
    inspect.signature(hook_class).bind(**options)


def test_libraries_without_a_row():
    assert find_library(Config()).packages == ()
    assert find_library(Config(dict(default_scope='mmengine'))).packages == ()
    assert find_library(Config(dict(default_scope='mmother'))).packages == (
        'mmother',
        'mmcv',
        'mmcv._ext',
    )
