"""Aerial sets as mmseg's converters write them: their lists, and what the data check says."""

import runpy
import shutil
import sys
import zipfile
from pathlib import Path

import cv2
import mmseg
import numpy as np
import pytest
from aerial import BOX, NAMES, make_set
from detection import ROOT
from PIL import Image

from sparx_mm.data_checks.report import report_data
from sparx_mm.data_checks.segmentation.areas import AREA_LISTS, write_area_lists
from sparx_mm.demo import draw_aerial
from sparx_mm.errors import UserError
from sparx_mm.run import load_config

CONVERTERS = Path(mmseg.__file__).parent / '.mim/tools/dataset_converters'
# BGR by id: no class, impervious, building, low vegetation, tree, car, clutter
COLORS = np.array(
    [[0, 0, 0], [255] * 3, [255, 0, 0], [255, 255, 0], [0, 255, 0], [0, 255, 255], [0, 0, 255]],
    np.uint8,
)
SIZE, HEIGHT = 64, 80


def _draw(i):
    """Return image and ids of a scene of two patches."""
    image, ids = draw_aerial(np.random.default_rng(i), HEIGHT)
    return image[:, :SIZE], ids[:, :SIZE]


def _zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as archive:
        for name, pixels in files.items():
            archive.writestr(name, cv2.imencode(Path(name).suffix, pixels)[1].tobytes())


def _vaihingen(folder):
    areas = [area for areas in AREA_LISTS['vaihingen'].lists.values() for area in areas]
    scenes = {area: _draw(i) for i, area in enumerate(areas)}
    start, stem = 'ISPRS_semantic_labeling_Vaihingen', 'top_mosaic_09cm_area'
    _zip(folder / f'{start}.zip', {f'top/{stem}{a}.tif': image for a, (image, _) in scenes.items()})
    _zip(
        folder / f'{start}_ground_truth_eroded_COMPLETE.zip',
        {f'{stem}{area}_noBoundary.tif': COLORS[ids] for area, (_, ids) in scenes.items()},
    )
    return ['--clip_size', str(SIZE), '--stride_size', str(SIZE)]


def _potsdam(folder):
    areas = [*AREA_LISTS['potsdam'].lists['train'], '7_10', '2_13']
    scenes = {area: _draw(i) for i, area in enumerate(areas)}
    stem = 'top_potsdam_'
    _zip(folder / '2_Ortho_RGB.zip', {f'{stem}{a}_RGB.tif': s[0] for a, s in scenes.items()})
    _zip(folder / '5_Labels.zip', {f'{stem}{a}_label.tif': COLORS[s[1]] for a, s in scenes.items()})
    return ['--clip_size', str(SIZE), '--stride_size', str(SIZE)]


def _loveda(folder):
    for i, split in enumerate(('Train', 'Val', 'Test')):
        files = {}
        for j, place in enumerate(('Rural', 'Urban')):
            image, ids = _draw((i, j))
            files[f'{split}/{place}/images_png/{i}{j}.png'] = image
            files[f'{split}/{place}/masks_png/{i}{j}.png'] = ids
        _zip(folder / f'{split}.zip', files)
    return []


def _isaid(folder):
    for i, split in enumerate(('train', 'val', 'test')):
        image, ids = _draw(i)
        # its palette: ids 1 to 3 of 16
        colors = np.array([[0, 0, 0], [63, 0, 0], [63, 63, 0], [0, 63, 0]], np.uint8)[ids % 4]
        _zip(folder / split / 'images/a.zip', {f'images/P{i:04d}.png': image})
        _zip(
            folder / split / 'Semantic_masks/a.zip',
            {f'images/P{i:04d}_instance_color_RGB.png': colors},
        )
    return ['--patch_width', str(SIZE), '--patch_height', str(SIZE), '--overlap_area', '16']


def _config(name, root):
    cfg = load_config(str(ROOT / f'configs/mmseg/semantic_fpn_sparx_t_{name}_256.py'))
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = f'{root}/'
    return cfg


@pytest.mark.slow
@pytest.mark.stack
@pytest.mark.parametrize(
    'name, write, counts',
    [
        ('vaihingen', _vaihingen, (24, 8)),
        ('potsdam', _potsdam, (46, 2)),
        ('loveda', _loveda, (2, 2)),
        ('isaid', _isaid, (2, 2)),
    ],
)
def test_what_mmsegs_converters_write_has_no_fault(name, write, counts, tmp_path, monkeypatch):
    options = write(tmp_path / 'zips')
    root = tmp_path / 'set'
    command = [f'{name}.py', str(tmp_path / 'zips'), '-o', str(root), *options]
    monkeypatch.setattr(sys, 'argv', command)
    runpy.run_path(str(CONVERTERS / f'{name}.py'), run_name='__main__')
    if name in AREA_LISTS:
        write_area_lists(name, str(root))
    train, val, test = report_data(_config(name, root))
    assert [fault.text for report in (train, val, test) for fault in report.faults] == []
    assert (len(train.samples), len(val.samples)) == counts and test.same_as == val.key
    # 0 is the first class of iSAID, and none of the others
    first = int(name != 'isaid')
    ids = {i for s in train.samples for i in np.unique(Image.open(s['seg_map_path'])).tolist()}
    assert set(train.objects) == {train.classes[i - first] for i in ids if i >= first}
    assert not any('are trained on' in note for note in val.notes)


def test_the_lists_are_those_of_the_paper(aerial):
    def areas(name, split):
        lines = (aerial / name / f'splits/{split}.txt').read_text().split()
        assert lines == sorted(lines) and all(line.endswith(f'_{BOX}') for line in lines)
        return {line.removesuffix(f'_{BOX}').removeprefix('area') for line in lines}

    assert areas('vaihingen', 'test') == {'5', '15', '21', '30'}
    assert areas('vaihingen', 'train') == set('1 3 7 11 13 17 23 26 28 32 34 37'.split())
    # those of mmseg's folder train, but for 7_10
    named = {name.removesuffix(f'_{BOX}') for name in NAMES['potsdam']['train']}
    assert len(named) == 24 and areas('potsdam', 'train') == named - {'7_10'}


@pytest.fixture
def vaihingen(tmp_path):
    make_set(tmp_path, 'vaihingen')
    return tmp_path


@pytest.mark.tries('patches of an unknown area')
@pytest.mark.parametrize(
    'change, message',
    [
        ('rm -r {root}/img_dir', r'img_dir/train is no folder: convert vaihingen with'),
        ('rm {root}/img_dir/train/area30_*', r'no patch of area 30, which belongs to test\.txt'),
        (
            'touch {root}/img_dir/train/area6_0_0_64_64.png',
            r'area6_0_0_64_64\.png is a patch of no',
        ),
        ('touch {root}/img_dir/train/mine.png', r'mine\.png is a patch of no area of vaihingen'),
    ],
)
def test_mistakes_in_the_folder_of_patches(vaihingen, change, message):
    before = (vaihingen / 'splits/test.txt').read_text()
    _change(vaihingen, change)
    with pytest.raises(UserError, match=message):
        write_area_lists('vaihingen', str(vaihingen))
    assert (vaihingen / 'splits/test.txt').read_text() == before


def test_a_folder_that_cannot_be_made(vaihingen):
    shutil.rmtree(vaihingen / 'splits')
    (vaihingen / 'splits').touch()
    with pytest.raises(UserError, match=r'splits cannot be made \(File exists\)'):
        write_area_lists('vaihingen', str(vaihingen))


def _change(root, change):
    command, *_, path = change.format(root=root).split()
    folder, name = Path(path).parent, Path(path).name
    if command == 'touch':
        Path(path).touch()
    for found in folder.glob(name) if command == 'rm' else ():
        shutil.rmtree(found) if found.is_dir() else found.unlink()


def test_faults_of_converted_folders_are_found(vaihingen):
    labels = vaihingen / 'ann_dir/train'
    cv2.imwrite(str(labels / f'area1_{BOX}.png'), np.full((SIZE, SIZE), 7, np.uint8))
    (labels / f'area3_{BOX}.png').unlink()
    with (vaihingen / 'splits/train.txt').open('a') as file:
        file.write(f'area5_{BOX}\narea38_{BOX}\n')
    train, val, _ = report_data(_config('vaihingen', vaihingen))
    text = '\n'.join(fault.text for fault in train.faults)
    assert f'area1_{BOX}.png has pixels of id 7: ids are 0 to 6' in text
    assert f'area3_{BOX}.png' in text and f'area38_{BOX}.png' in text
    assert '1 of its 4 images are trained on' in val.notes[0]
    cfg = _config('vaihingen', vaihingen)
    cfg.train_dataloader.dataset.reduce_zero_label = False
    cfg.train_dataloader.dataset.pipeline[1].reduce_zero_label = True
    text = '\n'.join(fault.text for fault in report_data(cfg)[0].faults)
    assert 'LoadAnnotations has reduce_zero_label=True, and the data set has False' in text


@pytest.mark.tries('patches of an unknown area')
def test_a_list_that_is_not_made_is_named(vaihingen):
    shutil.rmtree(vaihingen / 'splits')
    with pytest.raises(UserError, match=r'splits/train\.txt .*docs/remote_sensing\.md says how'):
        report_data(_config('vaihingen', vaihingen))
