"""Shipped configs and released weights are found by name, from any folder."""

import contextlib
import io
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.infer import BaseInferencer

import sparx_mm
from sparx_mm import model_index
from sparx_mm.checkpoint_io import schemes
from sparx_mm.engine import inferencers
from sparx_mm.errors import UserError
from sparx_mm.model_index import FOLDER, find_model, read_models, weights_url
from sparx_mm.run import load_config
from sparx_mm.run.preflight import weights

NAME = 'mask_rcnn_sparx_t_3x'
PATH = f'mmdet/{NAME}.py'
ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize('name', [PATH, NAME, f'sparx_mm::{PATH}', f'sparx_mm::{NAME}'])
def test_a_config_has_several_names(name):
    assert sparx_mm.config_path(name) == str(ROOT / 'configs' / PATH)
    assert sparx_mm.config_path(Path(name)) == str(ROOT / 'configs' / PATH)
    assert sparx_mm.config_path('_base_/default_runtime.py').endswith('runtime.py')


@pytest.mark.parametrize(
    'name', ['mmdet/mask_rcnn_sparx_t_2x.py', f'mmseg/{NAME}.py', 'mask_rcnn_sparx_t']
)
def test_a_wrong_name_lists_those_like_it(name):
    with pytest.raises(UserError, match='did you mean .*mask_rcnn_sparx_t_[13]x'):
        sparx_mm.config_path(name)
    with pytest.raises(UserError, match="no config or model 'xyz' comes with sparx_mm"):
        find_model('xyz')


def test_the_command_that_lists_all_names():
    with pytest.raises(UserError) as error:
        find_model('xyz')
    (code,) = re.findall('; all are listed by python -c "(.*)"$', str(error.value))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert printed.getvalue().split() == list(read_models())


@pytest.mark.stack
def test_mmengine_finds_configs_by_name(tmp_path):
    whole = Config.fromfile(ROOT / 'configs' / PATH).to_dict()
    assert Config.fromfile(f'sparx_mm::{PATH}').to_dict() == whole
    bases = (f"'sparx_mm::{PATH}'", f"__import__('sparx_mm').config_path('{PATH}')")
    for i, base in enumerate(bases):
        path = tmp_path / f'{i}.py'
        path.write_text(f'_base_ = [{base}]\n')
        # without a scope, in which a detector's classes would not be found
        assert Config.fromfile(path).to_dict() == whole


def test_tools_find_configs_by_name():
    cfg = load_config(f'sparx_mm::{PATH}')
    assert cfg.work_dir == f'work_dirs/{NAME}'
    with pytest.raises(UserError, match='did you mean'):
        load_config('sparx_mm::mask_rcnn_sparx_x_3x')
    # as any file is
    with pytest.raises(UserError, match='no config file'):
        load_config(NAME)


def test_released_weights_have_names(monkeypatch):
    asked = []
    monkeypatch.setattr(schemes, 'load_from_http', lambda url, where: asked.append(url))
    monkeypatch.setattr(weights, 'fetch', asked.append)
    schemes.load_checkpoint('sparx_mm://vssd_m_in1k')
    weights.check_checkpoint('sparx_mm://vssd_m_in1k', 'checkpoint')
    url = 'https://huggingface.co/YuhengSSS/VSSD/resolve/main/vssd_micro_best.pth#sha256=13ce5860'
    assert asked == [url, url]
    assert weights_url(NAME).endswith('maskrcnn_sparx_mamba_t_fpn_3x_coco.pth')
    with pytest.raises(UserError, match='no weights of semantic_fpn_sparx_t were released'):
        weights.check_checkpoint('sparx_mm://semantic_fpn_sparx_t', 'checkpoint')


# as an Inferencer of mmdet does
find_by_name = partial(BaseInferencer._load_model_from_metafile, SimpleNamespace(scope='mmdet'))


@pytest.mark.stack
def test_inferencers_find_models_by_name():
    cfg, checkpoint = find_by_name(NAME)
    assert cfg.model.type == 'MaskRCNN'
    assert checkpoint == f'sparx_mm://{NAME}'
    cfg, checkpoint = find_by_name('mask-rcnn_r50_fpn_1x_coco')
    assert re.match('https://.*r50', checkpoint)


@pytest.mark.stack
@pytest.mark.parametrize('text', [None, '../../{}'])
def test_configs_that_are_missing_are_said(monkeypatch, tmp_path, text):
    """As after a copy without .mim, or with text in place of its links."""
    if text:
        for name in ('configs', 'model-index.yml'):
            (tmp_path / name).write_text(text.format(name))
    monkeypatch.setattr('sparx_mm.model_index.FOLDER', tmp_path)
    for module in (model_index, inferencers):
        monkeypatch.setattr(module, 'read_models', read_models.__wrapped__)
    # those of other packages are found as before
    cfg, _ = find_by_name('mask-rcnn_r50_fpn_1x_coco')
    assert cfg.model.backbone.type == 'ResNet'
    with pytest.raises(UserError, match='has no configs and no index of models: install a wheel'):
        sparx_mm.config_path(NAME)


def test_links_lead_to_what_a_clone_has():
    for name in ('configs', 'tools', 'model-index.yml'):
        assert (FOLDER / name).resolve() == ROOT / name
