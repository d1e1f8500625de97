"""The fine-tuning example of docs/vssd.md, from a file in the released layout."""

import re

import pytest
import torch
from archs import PICO_VSSD
from detection import ROOT, tiny_config, tiny_options
from mmengine.registry import MODELS, init_default_scope

from sparx_mm.run import build_runner, load_config
from sparx_mm.state_dicts import VSSD

pytestmark = pytest.mark.stack
TEXT = (ROOT / 'docs/vssd.md').read_text()
(EXAMPLE,) = re.findall(r'^```python\n(.*?)^```', TEXT, re.M | re.S)
RELEASED = ROOT / 'configs/mmdet/mask_rcnn_vssd_t_1x.py'


def test_the_example_is_one_of_three_classes(tmp_path):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'mine.py').write_text(EXAMPLE)
    cfg = load_config(str(tmp_path / 'mine.py'))
    assert cfg.train_dataloader.dataset.metainfo.classes == ('cat', 'dog', 'owl')
    assert cfg.model.roi_head.mask_head.num_classes == 3
    # the recipe stays
    assert cfg.train_dataloader.dataset.type == 'CocoDataset' and cfg.train_cfg.max_epochs == 12
    assert cfg.val_evaluator.metric == ['bbox', 'segm']


def test_it_trains_from_a_detector_of_eighty_classes(shapes, tmp_path):
    whole = tiny_config(RELEASED, shapes)
    for head in ('bbox_head', 'mask_head'):
        whole.model.roi_head[head].num_classes = 80
    init_default_scope('mmdet')
    source = MODELS.build(whole.model)
    released = VSSD.to_released(source.state_dict(), 'backbone.')
    assert released['backbone.layers.3.blocks.0.attn.to_qkv.weight'].dim() == 2
    torch.save(dict(state_dict=released, meta={}), tmp_path / 'coco.pth')

    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'mine.py').write_text(EXAMPLE)
    options = tiny_options(
        shapes,
        load_from=str(tmp_path / 'coco.pth'),
        model__backbone__arch=PICO_VSSD,
        train_cfg__max_epochs=1,
    )
    options = {k: v for k, v in options.items() if not k.startswith(('val_', 'test_'))}
    options.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    cfg = load_config(str(tmp_path / 'mine.py'), options, str(tmp_path / 'run'))
    runner = build_runner(cfg, ('train',))
    runner.load_or_resume()
    loaded = runner.model.state_dict()
    own = source.state_dict()
    anew = {name for name in own if own[name].shape != loaded[name].shape}
    assert {name.rsplit('.', 2)[-2] for name in anew} == {'fc_cls', 'fc_reg', 'conv_logits'}
    assert all(loaded[name].equal(own[name]) for name in own.keys() - anew)
    runner.train()
    assert runner.iter == 2
