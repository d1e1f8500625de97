"""Data are converted once, and again when they change."""

import json
import os

import pytest
from own_data import save_image, voc, voc_object

from sparx_mm.errors import UserError
from sparx_mm.finetuning.prepare import check_unchanged, prepare_data
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
    facts, is_new = prepare_data(request_, folder)
    assert is_new and facts.counts == dict(train=1, val=1) and not facts.masks
    assert (facts.format, facts.classes, facts.size) == ('VOC', ['cat'], 30)
    for split in ('train', 'val'):
        path = facts.sets[split]['ann_file']
        with open(path) as file:
            assert len(json.load(file)['annotations']) == 1
    assert prepare_data(request_, folder) == (facts, False)
    assert check_unchanged(folder) == (request_, facts)
    # another seed is another split
    assert prepare_data(request_._replace(seed=1), folder)[1]
    prepare_data(request_, folder)
    path = os.path.join(request_.annotations, 'a.xml')
    with open(path, 'w') as file:
        file.write(voc(voc_object('dog', 1, 1, 10, 10), voc_object('cat', 1, 1, 9, 9)))
    with pytest.raises(UserError, match='changed since the run began'):
        check_unchanged(folder)
    facts, is_new = prepare_data(request_._replace(seed=1), folder)
    assert is_new and facts.classes == ['cat', 'dog']


def test_a_validation_set_of_its_own(request_, tmp_path, images):
    save_image(tmp_path / 'val/c.png')
    (tmp_path / 'val/c.xml').write_text(voc(voc_object('cat', 1, 1, 10, 10)))
    val = str(tmp_path / 'val')
    own = request_._replace(val_images=val, val_annotations=val)
    facts, _ = prepare_data(own, str(tmp_path / 'data'))
    assert facts.counts == dict(train=2, val=1) and facts.notes == []
    assert facts.sets['val']['data_prefix'] == dict(img=f'{val}/')
    (tmp_path / 'val/c.xml').write_text(voc(voc_object('dog', 1, 1, 10, 10)))
    with pytest.raises(UserError, match='validation set has no object of the classes'):
        prepare_data(own, str(tmp_path / 'data'))


def test_class_folders(tmp_path):
    for name in ('cat/1.png', 'cat/2 of two.png', 'dog/x/1.jpg', 'dog/2.png'):
        save_image(tmp_path / 'own' / name)
    request = Request('classification', str(tmp_path / 'own'), None, None, None, None, 0)
    facts, _ = prepare_data(request, str(tmp_path / 'data'))
    assert (facts.classes, facts.counts) == (['cat', 'dog'], dict(train=3, val=1))
    lines = ''.join((tmp_path / f'data/{split}.txt').read_text() for split in ('train', 'val'))
    assert sorted(lines.splitlines()) == [
        'cat/1.png 0',
        'cat/2 of two.png 0',
        'dog/2.png 1',
        'dog/x/1.jpg 1',
    ]
    save_image(tmp_path / 'own/loose.png')
    with pytest.raises(UserError, match='has 1 images beside 2 folders'):
        prepare_data(request, str(tmp_path / 'data'))
    (tmp_path / 'own/loose.png').unlink()
    (tmp_path / 'own/fish').mkdir()
    with pytest.raises(UserError, match='fish holds no image'):
        prepare_data(request, str(tmp_path / 'data'))
    with pytest.raises(UserError, match="'fish' is in one of"):
        prepare_data(request._replace(classes=('cat', 'dog')), str(tmp_path / 'data'))


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
