"""What OpenMMLab runs is not refused: stock configs with one of our backbones."""

import pytest
from mmengine.runner import Runner
from segmentation import make_ade
from stock import STOCK, make_cityscapes, make_coco, make_imagenet_1k, stock_config

from sparx_mm.data_checks import required_paths, settle_label_checks
from sparx_mm.data_checks.coco.sets import find_coco_set
from sparx_mm.data_checks.data_sets import find_data_sets
from sparx_mm.data_checks.paths import find_seg_sets
from sparx_mm.data_checks.splits import check_config_heads
from sparx_mm.errors import UserError
from sparx_mm.run import runner as run
from sparx_mm.run.channels import check_channels
from sparx_mm.run.preflight import check_settings, settle_workers

NAMES = [(library, name) for library, names in STOCK.items() for name in names]
SPLITS = ('train', 'val', 'test')
# those whose data is drawn, and that need no package that is not installed
BUILT = [
    (library, name)
    for library, name in NAMES
    if any(data in name for data in ('coco', 'ade20k', 'cityscapes', 'in1k'))
    and not any(
        other in name
        # panoptic maps, semi-supervised lists, proposals, albumentations, FSDP
        for other in ('maskformer', 'panoptic', 'semi', 'libra', 'albu', 'copy_paste', 'fsdp')
    )
]


@pytest.mark.tries("one of OpenMMLab's configs")
@pytest.mark.parametrize('library', STOCK)
def test_nothing_is_refused_before_anything_is_built(library):
    for name in STOCK[library]:
        cfg = stock_config(library, name)
        try:
            check_settings(cfg, SPLITS)
            settle_label_checks(cfg, SPLITS)
            settle_workers(cfg)
            check_channels(cfg)
            for split in SPLITS:
                assert cfg.get(f'{split}_dataloader') is None or (
                    list(required_paths(cfg, split)) is not None
                )
                list(find_seg_sets(cfg, split))
                sets = [
                    find_coco_set(key, node, library) for key, node in find_data_sets(cfg, split)
                ]
                # of others the classes are known once they are built
                if all(dataset and dataset.layout == 'coco' for dataset in sets):
                    check_config_heads(cfg, [dataset.classes for dataset in sets])
        except UserError as error:
            pytest.fail(f'{name}: {error}')


@pytest.fixture(scope='module')
def folder(tmp_path_factory, shapes):
    """Draw the sets where the configs expect them."""
    root = tmp_path_factory.mktemp('stock')
    make_coco(root / 'data/coco', shapes)
    make_ade(root / 'data/ade/ADEChallengeData2016')
    make_cityscapes(root / 'data/cityscapes')
    make_imagenet_1k(root / 'data/imagenet')
    return root


@pytest.fixture
def build(folder, monkeypatch, tmp_path):
    """Go with tools/train.py up to the first step."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(Runner, 'train', lambda self: None)

    def build(library, name):
        cfg = stock_config(library, name)
        if (cfg.optim_wrapper or {}).get('type') == 'AmpOptimWrapper':
            # float16 needs a GPU
            cfg.optim_wrapper.type = 'OptimWrapper'
        cfg.dump(tmp_path / 'stock.py')
        return run.train(str(tmp_path / 'stock.py'), work_dir=str(tmp_path / 'out'))

    return build


@pytest.mark.tries("one of OpenMMLab's configs")
@pytest.mark.faults
@pytest.mark.parametrize('library,name', BUILT)
def test_nothing_is_refused_up_to_the_first_step(build, library, name):
    assert build(library, name).train_dataloader is not None
