"""Folders that do not match end in one line, before anything is built."""

import shutil

import pytest
from segmentation import make_ade

from sparx_mm.data_checks.segmentation.folders import check_seg_folders, find_deeper
from sparx_mm.errors import UserError

pytestmark = pytest.mark.stack
IMAGES, LABELS = 'images/training', 'annotations/training'


@pytest.fixture
def root(tmp_path):
    """Draw a set of three images in ADE20K's layout."""
    make_ade(tmp_path, num_train=3, num_val=1, size=16)
    return tmp_path


def check(root, labelled=True, skips=False, **kwargs):
    dataset = dict(
        type='ADE20KDataset',
        data_root=str(root),
        data_prefix=dict(img_path=IMAGES, seg_map_path=LABELS),
    )
    dataset.update(kwargs)
    return check_seg_folders(dataset, 'x.dataset', labelled, scope='mmseg', skips=skips)


def problem(root, **kwargs):
    with pytest.raises(UserError) as error:
        check(root, **kwargs)
    return str(error.value)


def _file(number, ending='png'):
    return f'ADE_training_{number:08d}.{ending}'


def test_folders_that_match(root):
    check(root)
    # a label map more does no harm; a folder of its own neither
    (root / IMAGES / _file(1, 'jpg')).unlink()
    for folder, ending in ((IMAGES, 'jpg'), (LABELS, 'png')):
        (root / folder / 'kitchen').mkdir()
        file = root / folder / _file(2, ending)
        file.rename(root / folder / 'kitchen' / file.name)
    check(root)
    check(
        root,
        data_root=None,
        data_prefix=dict(img_path=f'{root}/{IMAGES}', seg_map_path=f'{root}/{LABELS}/'),
    )


@pytest.mark.tries('reduce_zero_label')
@pytest.mark.parametrize('given', [False, True])
def test_the_loader_and_the_set_disagree_on_0(root, given):
    steps = [dict(type='LoadAnnotations', reduce_zero_label=given)]
    line = problem(root, reduce_zero_label=not given, pipeline=steps)
    assert line.startswith(
        f'x.dataset: its LoadAnnotations has reduce_zero_label={given}, and the data set has '
        f'{not given}: take it out of LoadAnnotations, and give x.dataset.reduce_zero_label='
    )
    check(root, reduce_zero_label=given, pipeline=steps)
    check(root, reduce_zero_label=given, pipeline=[dict(type='LoadAnnotations')])
    # labels that are not read
    check(root, labelled=False, reduce_zero_label=not given, pipeline=steps)


def test_missing_files_that_are_skipped(root):
    (root / LABELS / _file(1)).unlink()
    (line,) = check(root, skips=True)
    assert '1 of 3 label maps are missing, the first is ' in line
    assert line.endswith(f'{_file(1)}; they are skipped')
    for i in (0, 2):
        (root / LABELS / _file(i)).unlink()
    assert '3 of 3 label maps are missing' in problem(root, skips=True)


@pytest.mark.tries('an image or a label map that is missing')
def test_label_maps_are_missing(root):
    (root / LABELS / _file(1)).unlink()
    assert problem(root) == (
        'x.dataset.data_prefix.seg_map_path: 1 of 3 label maps are missing, '
        f'the first is {root}/{LABELS}/{_file(1)}; put the files there, or '
        'give their place: --cfg-options x.dataset.data_root=DIR'
    )
    # of a test split without labels
    check(root, labelled=False)
    # the first image alone
    check(root, indices=1)


def test_links(root, tmp_path):
    file = root / LABELS / _file(1)
    kept = file.rename(tmp_path / 'kept.png')
    file.symlink_to(kept)
    check(root)
    kept.unlink()
    assert f'1 of 3 label maps are missing, the first is {file}' in problem(root)


@pytest.mark.tries('an image or a label map that is missing')
def test_all_label_maps_are_missing(root):
    assert problem(root, seg_map_suffix='_ids.png') == (
        'x.dataset.data_prefix.seg_map_path: 3 of 3 label maps are missing, '
        f'the first is {root}/{LABELS}/{_file(0)[:-4]}_ids.png: their names '
        'end in _ids.png (seg_map_suffix), and there is for example '
        f'{_file(0)}; put the files there, or give their place: '
        '--cfg-options x.dataset.data_root=DIR'
    )
    labels = root / LABELS
    labels.rename(root / 'moved')
    labels.mkdir()
    assert 'and it is empty; ' in problem(root)
    # one folder too many
    (root / 'moved').rename(labels / 'training')
    assert f'there is for example training/{_file(0)}' in problem(root)


@pytest.mark.tries('an image or a label map that is missing')
def test_no_image(root):
    assert problem(
        root,
        data_root=None,
        data_prefix=dict(img_path=f'{root}/{IMAGES}', seg_map_path=f'{root}/{LABELS}'),
        img_suffix='.tif',
    ) == (
        f'x.dataset.data_prefix.img_path: {root}/{IMAGES} has no image: '
        'their names end in .tif (img_suffix), and there is for example '
        f'{_file(0, "jpg")}; put the files there, or give their place: '
        '--cfg-options x.dataset.data_prefix.img_path=DIR'
    )
    shutil.rmtree(root / IMAGES)
    (root / IMAGES).mkdir()
    assert 'has no image' in problem(root, labelled=False)


def test_a_list_of_images(root):
    # not of ending .png: what is in the list decides
    (root / LABELS / _file(2)).unlink()
    names = [_file(i, '')[:-1] for i in range(3)]
    listed = root / 'list.txt'
    listed.write_text('\n'.join([names[0], f'./{names[1]}']))
    check(root, ann_file='list.txt')
    listed.write_text('\n'.join([names[0], 'other', names[2]]))
    assert f'1 of 3 images are missing, the first is {root}/{IMAGES}/other.jpg;' in problem(
        root, ann_file='list.txt'
    )
    listed.write_text('\n'.join([names[0], names[2]]))
    assert (
        f'1 of 2 label maps are missing, the first is {root}/{LABELS}/'
        f'{names[2]}.png;' in problem(root, ann_file='list.txt')
    )
    whole = dict(
        ann_file=str(listed), data_root=None, data_prefix=dict(img_path='', seg_map_path='')
    )
    listed.write_text(f'{root}/{IMAGES}/{names[0]}')
    check(root, labelled=False, **whole)
    listed.write_text(f'{root}/{IMAGES}/other')
    assert problem(root, labelled=False, **whole) == (
        'x.dataset.data_prefix.img_path: 1 of 1 images are missing, the first is '
        f'{root}/{IMAGES}/other.jpg; put the files there, or give their place: '
        '--cfg-options x.dataset.data_prefix.img_path=DIR'
    )
    listed.write_text('')
    assert problem(root, ann_file='list.txt') == (
        f'no image is listed in {root}/list.txt (x.dataset.ann_file)'
    )


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(type='NoSuchDataset'),
        dict(no_such_argument=1),
        dict(ann_file='none.txt'),
        dict(metainfo=dict(classes=('no such class',))),
    ],
)
def test_what_cannot_be_built_is_left_to_the_run(root, kwargs):
    (root / LABELS / _file(1)).unlink()
    check(root, **kwargs)


@pytest.mark.parametrize('missing', ['images', 'images/training', 'a/b'])
def test_one_folder_too_many(tmp_path, missing):
    root = tmp_path / 'ADE[1]'
    (root / 'ADE').mkdir(parents=True)
    assert find_deeper(str(root / missing)) is None
    (root / 'ADE' / missing).mkdir(parents=True)
    assert find_deeper(str(root / missing)) == str(root / 'ADE' / missing)
