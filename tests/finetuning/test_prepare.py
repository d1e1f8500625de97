"""Data are converted once, and again when they change."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope
from own_data import save_image, voc, voc_object
from PIL import Image

from sparx_mm.errors import UserError
from sparx_mm.finetuning.prepare import (
    CONVERTERS,
    check_unchanged,
    is_checked,
    mark_checked,
    prepare_data,
)
from sparx_mm.finetuning.request import Request


@pytest.fixture
def request_(images, write):
    folder = write(
        {
            'a.xml': voc(voc_object('cat', 1, 1, 10, 10)),
            'sub/b.xml': voc(voc_object('cat', 11, 1, 20, 10)),
        }
    )
    return Request('detection', str(images), str(folder), None, None, None, 0)


@pytest.mark.tries('tools/finetune.py ended')
def test_converted_once_and_again_after_a_change(request_, tmp_path):
    folder = str(tmp_path / 'data')
    facts = prepare_data(request_, folder)
    assert facts.counts == dict(train=1, val=1) and not facts.masks
    assert (facts.format, facts.classes, facts.size) == ('VOC', ['cat'], 30)
    for split in ('train', 'val'):
        path = facts.sets[split]['ann_file']
        with open(path) as file:
            assert len(json.load(file)['annotations']) == 1
    assert not is_checked(folder)
    mark_checked(folder)
    assert prepare_data(request_, folder) == facts and is_checked(folder)
    assert check_unchanged(folder) == (request_, facts)
    # another seed is another split, which was not checked
    prepare_data(request_._replace(seed=1), folder)
    assert not is_checked(folder)
    prepare_data(request_, folder)
    path = os.path.join(request_.annotations, 'a.xml')
    with open(path, 'w') as file:
        file.write(voc(voc_object('dog', 1, 1, 10, 10), voc_object('cat', 1, 1, 9, 9)))
    with pytest.raises(UserError, match='changed since the run began'):
        check_unchanged(folder)
    assert prepare_data(request_._replace(seed=1), folder).classes == ['cat', 'dog']


def test_class_names_are_part_of_the_source(images, write, tmp_path):
    annotations = write({f'sub/{name}.txt': '0 .5 .5 1 1\n1 .5 .5 1 1' for name in 'ab'}) / 'sub'
    names, folder = annotations.parent / 'classes.txt', str(tmp_path / 'data')
    (images / 'sub/b.jpg').rename(images / 'b.jpg')
    names.write_text('cat\ndog\n')
    request = Request('detection', str(images), str(annotations), None, None, None, 0)
    assert prepare_data(request, folder).classes == ['cat', 'dog']
    names.write_text('dog\ncat\n')
    with pytest.raises(UserError, match='changed since the run began'):
        check_unchanged(folder)
    assert prepare_data(request, folder).classes == ['dog', 'cat']


def test_files_of_an_interrupted_conversion_are_not_taken_for_older_ones(
    request_, tmp_path, monkeypatch
):
    folder = str(tmp_path / 'data')
    prepare_data(request_, folder)
    mark_checked(folder)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setitem(CONVERTERS, 'detection', interrupt)
        prepare_data(request_._replace(seed=1), folder)
    prepare_data(request_, folder)
    assert not is_checked(folder)


@pytest.mark.slow
@pytest.mark.stack
def test_images_without_objects_are_counted_apart(request_, tmp_path, images):
    folder = tmp_path / 'annotations'
    # mmdet keeps an image with a difficult object, which is a crowd to it
    for i, objects in enumerate([(), (voc_object('cat', 1, 1, 9, 9, difficult=1),)] * 5):
        save_image(images / f'c{i}.png')
        (folder / f'c{i}.xml').write_text(voc(*objects))
    init_default_scope('mmdet')
    facts = prepare_data(request_, str(tmp_path / 'data'))
    sets = dict(facts.sets['train'], filter_cfg=dict(filter_empty_gt=True), pipeline=[])
    kept = DATASETS.build(dict(sets, metainfo=dict(classes=tuple(facts.classes))))
    assert facts.counts == dict(train=9, val=3)
    assert 1 < facts.num_trained == len(kept) < 9


def yolo_set(root, *splits):
    """Write images, labels and the data.yaml of splits."""
    for split in splits:
        save_image(root / split / 'images/a.png')
        save_image(root / split / 'images/b.png')
        for name in 'ab':
            path = root / split / f'labels/{name}.txt'
            path.parent.mkdir(exist_ok=True)
            path.write_text('0 0.5 0.5 1 1\n')
    lines = [f'{split}: {split}/images\n' for split in splits]
    path = root / 'data.yaml'
    path.write_text('names: [cat]\n' + ''.join(lines))
    return str(path)


def test_a_data_yaml_for_validation_is_read_for_its_val(request_, tmp_path):
    path = yolo_set(tmp_path / 'yolo', 'train', 'val')
    own = request_._replace(val_annotations=path)
    folder = str(tmp_path / 'data')
    facts = prepare_data(own, folder)
    assert facts.sets['val']['data_prefix'] == dict(img=f'{tmp_path}/yolo/val/images/')
    assert facts.counts == dict(train=2, val=2)
    # its images are of the source too
    save_image(tmp_path / 'yolo/val/images/c.png')
    assert prepare_data(own, folder).counts == dict(train=2, val=3)
    yolo_set(tmp_path / 'yolo', 'train')
    with pytest.raises(UserError, match='data.yaml has no val: give the folder'):
        prepare_data(own, folder)


def test_a_data_yaml_without_training_images(tmp_path):
    path = yolo_set(tmp_path, 'val')
    request = Request('detection', None, path, None, None, None, 0)
    with pytest.raises(UserError, match='data.yaml has no train: give the folder of its images'):
        prepare_data(request, str(tmp_path / 'data'))


def test_a_validation_set_of_its_own(request_, tmp_path, images):
    save_image(tmp_path / 'val/c.png')
    (tmp_path / 'val/c.xml').write_text(voc(voc_object('cat', 1, 1, 10, 10)))
    val = str(tmp_path / 'val')
    own = request_._replace(val_images=val, val_annotations=val)
    facts = prepare_data(own, str(tmp_path / 'data'))
    assert facts.counts == dict(train=2, val=1) and facts.notes == []
    assert facts.sets['val']['data_prefix'] == dict(img=f'{val}/')
    (tmp_path / 'val/c.xml').write_text(voc(voc_object('dog', 1, 1, 10, 10)))
    with pytest.raises(UserError, match='validation set has no object of the classes'):
        prepare_data(own, str(tmp_path / 'data'))


@pytest.mark.parametrize('below', ['', 'photos/2024/'])
@pytest.mark.parametrize('val', ['val', 'valid'])
def test_folders_of_training_and_validation(write, tmp_path, val, below):
    """A class of the validation set alone is not trained, and a test set is left out."""
    train, val, test = (f'{below}{name}' for name in ('train', val, 'test'))
    splits = {train: ['cat'] * 6, val: ['cat', 'dog'], test: ['fish']}
    files = {}
    for split, names in splits.items():
        for i, name in enumerate(names):
            save_image(tmp_path / f'images/{split}/{i}.png')
            files[f'{split}/{i}.xml'] = voc(voc_object(name, 1, 1, 9, 9))
    annotations = str(write(files))
    request = Request('detection', str(tmp_path / 'images'), annotations, None, None, None, 0)
    facts = prepare_data(request, str(tmp_path / 'data'))
    assert (facts.classes, facts.counts) == (['cat'], dict(train=6, val=2))
    content = json.loads((tmp_path / 'data/val.json').read_text())
    assert [image['file_name'] for image in content['images']] == [f'{val}/0.png', f'{val}/1.png']
    assert len(content['annotations']) == 1
    assert any('are in other folders: 1' in note for note in facts.notes)
    # a set that is given is taken in their place
    own = request._replace(val_images=request.images, val_annotations=annotations)
    assert prepare_data(own, str(tmp_path / 'data')).counts == dict(train=9, val=9)
    # without an object there it validates nothing
    for i in range(len(splits[val])):
        (Path(annotations) / f'{val}/{i}.xml').write_text(voc())
    facts = prepare_data(request, str(tmp_path / 'data'))
    assert sum(facts.counts.values()) == 9
    assert any('no validation set given' in note for note in facts.notes)


def test_folders_of_training_and_validation_of_label_maps(tmp_path):
    for name in ('train/0', 'train/1', 'train/2', 'val/0'):
        save_image(tmp_path / f'images/{name}.jpg')
        path = tmp_path / f'maps/{name}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        # a class that is in the validation set alone is one too
        Image.fromarray(np.eye(30, 40, dtype=np.uint8) * (2 if name == 'val/0' else 1)).save(path)
    folders = str(tmp_path / 'images'), str(tmp_path / 'maps')
    request = Request('segmentation', *folders, None, None, None, 0)
    facts = prepare_data(request, str(tmp_path / 'data'))
    assert facts.counts == dict(train=3, val=1) and facts.classes == ['0', '1', '2']
    assert (tmp_path / 'data/val.txt').read_text() == 'val/0\n'


def test_class_folders(tmp_path):
    for name in ('cat/1.png', 'cat/2 of two.png', 'dog/x/1.jpg', 'dog/2.png'):
        save_image(tmp_path / 'own' / name)
    request = Request('classification', str(tmp_path / 'own'), None, None, None, None, 0)
    facts = prepare_data(request, str(tmp_path / 'data'))
    assert (facts.classes, facts.counts) == (['cat', 'dog'], dict(train=3, val=1))
    lines = ''.join((tmp_path / f'data/{split}.txt').read_text() for split in ('train', 'val'))
    assert sorted(lines.splitlines()) == [
        'cat/1.png 0',
        'cat/2 of two.png 0',
        'dog/2.png 1',
        'dog/x/1.jpg 1',
    ]
    # no annotation belongs to both
    save_image(tmp_path / 'own/cat/1.jpg')
    assert sum(prepare_data(request, str(tmp_path / 'data')).counts.values()) == 5
    save_image(tmp_path / 'own/loose.png')
    with pytest.raises(UserError, match='has 1 images beside 2 folders'):
        prepare_data(request, str(tmp_path / 'data'))
    (tmp_path / 'own/loose.png').unlink()
    (tmp_path / 'own/fish').mkdir()
    with pytest.raises(UserError, match='fish holds no image'):
        prepare_data(request, str(tmp_path / 'data'))
    with pytest.raises(UserError, match="'fish' is in one of"):
        prepare_data(request._replace(classes=('cat', 'dog')), str(tmp_path / 'data'))


@pytest.mark.parametrize('val', ['val', 'valid'])
def test_class_folders_of_training_and_validation(tmp_path, val):
    for name in ('train/cat/1', 'train/cat/2', 'train/dog/1', f'{val}/cat/1', f'{val}/dog/1'):
        save_image(tmp_path / f'own/{name}.png')
    request = Request('classification', str(tmp_path / 'own'), None, None, None, None, 0)
    facts = prepare_data(request, str(tmp_path / 'data'))
    assert (facts.classes, facts.counts) == (['cat', 'dog'], dict(train=3, val=2))
    # without its folder, that of the validation set would have other classes
    (tmp_path / f'own/{val}/dog/1.png').unlink()
    with pytest.raises(UserError, match='dog holds no image, .*: put some there$'):
        prepare_data(request, str(tmp_path / 'data'))


def test_splits_of_other_names_are_no_classes(tmp_path):
    for name in ('train/cat/1', 'train/dog/1', 'test/cat/1', 'test/dog/1'):
        save_image(tmp_path / f'own/{name}.png')
    request = Request('classification', str(tmp_path / 'own'), None, None, None, None, 0)
    with pytest.raises(UserError, match='train and .*test hold folders of the same classes'):
        prepare_data(request, str(tmp_path / 'data'))
    # trains and buses, those of two lines apart
    for name in ('train/red/1', 'train/blue/1', 'bus/red/1'):
        save_image(tmp_path / f'vehicles/{name}.png')
    facts = prepare_data(
        request._replace(images=str(tmp_path / 'vehicles')), str(tmp_path / 'other')
    )
    assert facts.classes == ['bus', 'train']
    request = request._replace(images=str(tmp_path / 'own'), classes=['train', 'test'])
    assert prepare_data(request, str(tmp_path / 'named')).classes == ['train', 'test']


@pytest.mark.parametrize(
    'changes,message',
    [
        (dict(images=None), '--images DIR is missing'),
        (dict(images='nowhere'), '--images: there is no folder .*nowhere'),
        (dict(annotations='nowhere'), 'no annotations: there is no file or folder .*nowhere'),
        (dict(annotations=__file__), r"none of: a .json file in COCO's format"),
        (dict(val_images='val'), '--val-images needs --val-annotations'),
        (dict(task='segmentation', annotations=None), 'the folder of the label maps'),
        (dict(task='classification'), '--annotations is not read for classification'),
        (
            dict(task='classification', annotations=None, val_annotations='val'),
            '--val-annotations is not read for classification: the folders of --val-images are',
        ),
        (dict(annotations='own.yaml'), '--images is not read beside --annotations own.yaml'),
        (
            dict(val_images='val', val_annotations='own.yml'),
            '--val-images is not read beside --val-annotations own.yml',
        ),
        (dict(task='segmentation', images=None, annotations='own.yaml'), '--images DIR is missing'),
    ],
)
def test_requests_that_do_not_fit(request_, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        prepare_data(request_._replace(**changes), str(tmp_path / 'data'))


def test_a_run_among_its_data_is_refused(request_):
    with pytest.raises(UserError, match='--work-dir is inside of .*images, whose files are'):
        prepare_data(request_, f'{request_.images}/run/data')


def test_an_empty_folder_of_images(tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'empty/a.xml').write_text(voc())
    request = Request('detection', str(tmp_path / 'empty'), None, None, None, None, 0)
    with pytest.raises(UserError, match='empty holds no image, of which the names end in'):
        prepare_data(request, str(tmp_path / 'data'))
