"""`import sparx_mm` needs torch and mmengine, and changes nothing else."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest
from without import run_without

import sparx_mm

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    path for folder in ('sparx_mm', 'kernels', 'tools') for path in (ROOT / folder).rglob('*.py')
)
# who may import whom: higher numbers lower ones, equals without a circle
HEIGHTS = {
    'tools': 10,
    'run': 9,
    'analysis': 9,
    'demo': 9,
    'inference': 9,
    'export': 9,
    'reports': 9,
    'finetuning': 9,
    'data_checks': 8,
    'engine': 7,
    'decode_heads': 6,
    'distillation': 6,
    'backbones': 5,
    'adapters': 4,
    'necks': 4,
    'aggregators': 4,
    'mixers': 4,
    'layers': 3,
    'kernels': 2,
    'checkpoint_io': 2,
    'state_dicts': 1,
    'compat': 0,
    'registry': 0,
    'model_index': 0,
    'errors': 0,
    'info': 0,
    'config_nodes': 0,
    'image_files': 0,
    'libraries': 0,
}
# without the extra `export`, as beside OpenMMLab's original packages, they cannot be imported
NEED_ONNX = {f'sparx_mm.export.{name}' for name in ('onnx_file', 'onnx_scan', 'precision')}
# nor, without the library that they are parts for, these
NEED_LIBRARY = {'sparx_mm.decode_heads': 'mmseg', 'sparx_mm.distillation': 'mmpretrain'}
OPTIONAL = ('mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'torchvision', 'triton', 'numba', 'cv2')


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix('').parts
    if parts[0] == 'kernels':
        parts = ('sparx_mm', *parts)
    return '.'.join(parts).replace('.__init__', '')


def imported_names(path):
    """Full names of what a file imports, in functions too."""
    package = module_name(path).split('.')
    if path.name != '__init__.py':
        package.pop()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level]
            parts = (above if node.level else []) + [node.module]
            for alias in node.names:
                yield '.'.join(filter(None, (*parts, alias.name)))


def room(name):
    """The part of the house that a module is in; '' for what is not ours."""
    top, _, rest = name.partition('.')
    return {'sparx_mm': rest.split('.')[0], 'tools': 'tools'}.get(top, '')


def run(code, folder, without=()):
    done = run_without(without, code, folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.stack
def test_torch_and_mmengine_suffice(tmp_path):
    output = run(
        f"""
import sys
import torch
import sparx_mm
from mmengine.registry import MODELS
arch = dict(embed_dims=(8, 8, 16, 16), depths=(1, 2, 2, 1),
            connections=dict(starts=(None, 0, 0, 0), windows=(None, None, 1, None)))
model = MODELS.build(dict(type='SparXMamba', arch=arch))
maps = model(torch.rand(1, 3, 33, 47))
sum(x.mean() for x in maps).backward()
print([x.shape[1] for x in maps])
print([name for name in {OPTIONAL} if name in sys.modules])
""",
        tmp_path,
        OPTIONAL,
    )
    assert output == '[8, 8, 16, 16]\n[]\n'


@pytest.mark.parametrize('absent', ['mmengine', 'torch'])
def test_touching_a_backbone_says_what_to_type(absent, tmp_path):
    output = run(
        """
import sparx_mm, sparx_mm.info
for touch in ('sparx_mm.SparXMamba', 'sparx_mm.backbones',
              'from sparx_mm import HierarchicalBackbone'):
    try:
        exec(touch)
    except ImportError as error:
        print(error)
print(hasattr(sparx_mm, 'other'))
""",
        tmp_path,
        [absent],
    )
    *messages, other = output.splitlines()
    assert len(messages) == 3
    for message in messages:
        assert f"No module named '{absent}'" in message
        assert message.endswith('type: pip install torch onedl-mmengine opencv-python-headless')
    # as any module answers, for what looks for optional attributes
    assert other == 'False'


def test_kernels_without_mmengine(tmp_path):
    output = run(
        """
import torch
from sparx_mm.kernels import ss2d
x, p = torch.rand(1, 8, 3, 5), torch.rand(1, 3, 5, 4, 2 + 2)
w, A = torch.rand(4, 8, 2), -torch.rand(4, 8, 1)
print(ss2d(x, p, w, torch.rand(4, 8), A, torch.ones(4, 8)).shape)
""",
        tmp_path,
        ['mmengine', 'numba'],
    )
    assert output == 'torch.Size([1, 8, 3, 5])\n'


@pytest.mark.parametrize('absent', [('mmengine', 'mmcv', 'mmdet', 'mmseg'), ()])
def test_a_clone_that_is_not_installed(absent, tmp_path):
    """A bare GPU box: the kernels are there, and those of this clone."""
    output = run(
        f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import sparx_mm, sparx_mm.info, sparx_mm.kernels.ss2d
print(sparx_mm.kernels.__file__)
print('sparx_mm.backbones' in sys.modules)
""",
        tmp_path,
        ('sparx_mm', *absent),
    )
    assert output == f'{ROOT}/kernels/__init__.py\n{not absent}\n'


def test_another_clone_is_installed(tmp_path):
    clone = tmp_path / 'clone'
    for folder in ('sparx_mm', 'kernels'):
        shutil.copytree(ROOT / folder, clone / folder)
    output = run(
        f"""
import sys
sys.path.insert(0, {str(clone)!r})
import sparx_mm.kernels
print(sparx_mm.kernels.__file__)
""",
        tmp_path,
    )
    assert output == f'{clone}/kernels/__init__.py\n'


def test_own_errors_are_not_hidden(tmp_path):
    code = 'import sys; sys.modules["sparx_mm.kernels"] = None\nimport sparx_mm'
    done = run_without([], code, tmp_path)
    assert done.returncode == 1
    assert 'import of sparx_mm.kernels halted' in done.stderr


@pytest.mark.stack
def test_import_changes_nothing_else(tmp_path):
    output = run(
        """
import logging, os, random, signal, sys, warnings
import numpy, torch
import mmengine.model, mmengine.registry, mmengine.runner
from mmengine.fileio import backends
from mmengine.runner.checkpoint import CheckpointLoader

def state():
    registries = {name: set(value.module_dict)
                  for name, value in vars(mmengine.registry).items()
                  if isinstance(value, mmengine.registry.Registry)}
    models = registries.pop('MODELS')
    # of the backbones' init_cfg
    registries['WEIGHT_INITIALIZERS'] -= {'PretrainedSwin', 'PretrainedVMamba'}
    rest = dict(
        registries=registries, environment=dict(os.environ),
        path=list(sys.path), finders=list(sys.meta_path),
        hooks=(sys.excepthook, sys.displayhook),
        filters=list(warnings.filters), folder=os.getcwd(),
        loggers=list(logging.root.handlers), level=logging.root.level,
        signals=[signal.getsignal(s) for s in signal.valid_signals()],
        readers=dict(CheckpointLoader._schemes),
        storages=dict(backends.backends),
        dtype=torch.get_default_dtype(), threads=torch.get_num_threads(),
        grad=torch.is_grad_enabled(), tf32=torch.backends.cudnn.allow_tf32,
        deterministic=torch.are_deterministic_algorithms_enabled(),
        random=random.getstate(), numpy=str(numpy.random.get_state()),
        torch=torch.get_rng_state().tolist())
    return models, rest, set(sys.modules)

models, before, modules = state()
import sparx_mm
new_models, after, new_modules = state()
print([key for key in before if before[key] != after[key]])
print(sorted(n for n in new_models - models if n.startswith('SparX')))
print(all(mmengine.registry.MODELS.get(name).__module__.startswith('sparx_mm')
          for name in new_models - models))
new = {name.split('.')[0] for name in new_modules - modules}
print(sorted(new & {'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'torchvision',
                    'cv2', 'matplotlib', 'pycocotools', 'numba'}))
""",
        tmp_path,
    )
    changed, backbones, own, imported = output.splitlines()
    assert changed == '[]'
    assert backbones == "['SparXMamba', 'SparXSwin']"
    assert own == 'True'
    assert imported == '[]'


@pytest.mark.stack
@pytest.mark.parametrize(
    'module', [name for name in map(module_name, FILES) if name.startswith('sparx_mm')]
)
def test_every_module_imports(module):
    if module in NEED_ONNX:
        for package in ('onnx', 'onnxscript'):
            pytest.importorskip(package)
    if module in NEED_LIBRARY:
        pytest.importorskip(NEED_LIBRARY[module])
    importlib.import_module(module)


def test_functions_do_not_hide_the_modules_of_their_package():
    backends = (ROOT / 'kernels').glob('[!_]*/[!_]*.py')
    for name in map(module_name, backends):
        importlib.import_module(name)
        scope = {}
        exec(f'import {name} as module', scope)
        assert scope['module'] is sys.modules[name]


def test_arrows_point_down_without_a_circle():
    # a room without a height could import anything
    assert {room(module_name(path)) for path in FILES} - {''} <= set(HEIGHTS)
    arrows = {
        (room(module_name(path)), room(name)) for path in FILES for name in imported_names(path)
    }
    # of a name such as sparx_mm.__version__ there is no module
    arrows = {(a, b) for a, b in arrows if a and b and a != b and not b.startswith('__')}
    # what is imported from sparx_mm itself are the backbones
    up = [(a, b) for a, b in arrows if HEIGHTS[a] < HEIGHTS.get(b, HEIGHTS['backbones'])]
    assert len(arrows) > 10 and not up
    graph = TopologicalSorter()
    for above, below in arrows:
        graph.add(above, below)
    graph.prepare()


def test_setup_cfg_lists_every_package():
    config = ConfigParser(interpolation=None)
    config.read(ROOT / 'setup.cfg')
    packages = {module_name(path.with_name('__init__.py')) for path in FILES}
    packages.discard('tools')
    assert config['options']['packages'].split() == sorted(packages)


def test_version_is_the_installed_one_and_that_of_the_changelog():
    assert sparx_mm.__version__ == metadata.version('sparx_mm')
    headings = re.findall(r'^## (\d\S+)', (ROOT / 'CHANGELOG.md').read_text(), re.M)
    assert headings[0].rstrip(',') == sparx_mm.__version__


def test_a_clone_on_the_path_is_no_package_of_kernels(tmp_path):
    """transformers looks for one, imports it and asks for its version and file."""
    code = """if True:
        import kernels, sys
        assert not hasattr(kernels, '__file__') and not hasattr(kernels, '__version__')
        assert not any(name.startswith(('torch', 'kernels.')) for name in sys.modules)
        for statement in ('from kernels import Device', 'import kernels.ss2d'):
            try:
                exec(statement)
            except ImportError:
                print(statement)
        from kernels import *
        import sparx_mm.kernels
        print(sparx_mm.kernels.ss2d.__name__)
    """
    done = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    lines = ['from kernels import Device', 'import kernels.ss2d', 'ss2d']
    assert (done.returncode, done.stdout.splitlines()) == (0, lines), done.stderr
