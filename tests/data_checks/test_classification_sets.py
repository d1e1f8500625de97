"""A classification set that cannot be trained ends in one line before anything is built."""

import pytest
from mmengine.config import Config

from sparx_mm.data_checks import check_data
from sparx_mm.errors import UserError

NAMES = ('cat', 'dog', 'owl')


@pytest.fixture
def check(tmp_path):
    """Write three folders with an image each, and check a config that reads them."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / 'a.jpg').touch()

    def check(lines=None, num_classes=3, skip_broken=False, **kwargs):
        node = dict(dict(type='CustomDataset', data_root=str(tmp_path)), **kwargs)
        if lines is not None:
            (tmp_path / 'list.txt').write_text(lines)
            node['ann_file'] = 'list.txt'
        cfg = dict(
            default_scope='mmpretrain',
            model=dict(head=dict(num_classes=num_classes)),
            train_dataloader=dict(dataset=node),
            skip_broken=skip_broken,
        )
        return check_data(Config(cfg), ['train'])

    return check


@pytest.mark.tries('a hidden or empty class folder')
@pytest.mark.parametrize('metainfo', [None, dict(classes=NAMES)])
@pytest.mark.parametrize('name', ['.ipynb_checkpoints', '.git'])
def test_hidden_folders_are_no_classes(check, tmp_path, metainfo, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / 'a.jpg').touch()
    with pytest.raises(UserError, match=f'^{tmp_path}/{name} is no class, .*: remove it$'):
        check(metainfo=metainfo)


@pytest.mark.tries('a hidden or empty class folder')
@pytest.mark.parametrize('metainfo', [None, dict(classes=NAMES)])
def test_empty_folders_beside_the_classes(check, tmp_path, metainfo):
    (tmp_path / 'new').mkdir()
    (tmp_path / 'new/notes.txt').touch()
    with pytest.raises(UserError, match=f'{tmp_path}/new has no image, .* 4 folders for 3 classes'):
        check(metainfo=metainfo)
    # a class that has no image yet
    check(metainfo=dict(classes=(*NAMES, 'new')))
    check(num_classes=4)


@pytest.mark.tries('a COCO', 'a hidden or empty class folder')
@pytest.mark.parametrize(
    'lines,message',
    [
        ('cat/a.jpg 0\ndog/a.jpg 3\n', ', line 2: the label 3 is none of the 3 classes, which are'),
        ('cat/a.jpg 1\ndog/a.jpg -1\ncat/a.jpg 9\n', ', line 2: the label -1 .and 1 more. is none'),
        (
            'cat/a.jpg 1\ndog/a.jpg 2\nowl/a.jpg 3\n',
            ': labels are 1 to 3 and are counted from 0: take 1 from each of them',
        ),
        ('cat/a.jpg 0\ndog/a.jpg dog\n', ", line 2: the label 'dog' is no number: .* class, 1$"),
        ('cat/a.jpg bird\n', "the label 'bird' is no number: .* class, counted from 0"),
        ('cat/a.jpg,0\n', "line 1: 'cat/a.jpg,0' is no file and label .* .it has a comma."),
        ('cat/a.jpg 0\n\ndog/a.jpg 1\n', "line 2: '' is no file and label"),
        ('cat/a.jpg 0\ndog/b.jpg 1\n', '1 of 2 images are missing, .*/dog/b.jpg .line 2.; put'),
    ],
)
def test_lists_that_cannot_be_read(check, tmp_path, lines, message):
    with pytest.raises(UserError, match=f'^{tmp_path}/list.txt.*{message}'):
        check(lines, metainfo=dict(classes=NAMES))


def test_lists_that_can(check, tmp_path):
    lines = 'cat/a.jpg 0\ndog/a.jpg 1\nowl/a.jpg 2\n'
    assert check(lines) == []
    check(lines, metainfo=dict(classes=NAMES), num_classes=9)
    # a space in a name, and no labels
    (tmp_path / 'my cat.jpg').touch()
    check('my cat.jpg 0')
    check('my cat.jpg\n', with_label=False)
    (line,) = check(lines + 'no.jpg 1\n', skip_broken=True)
    assert line.endswith(
        f'1 of 4 images are missing, the first is {tmp_path}/no.jpg (line 4); they are skipped'
    )


@pytest.mark.tries('a hidden or empty class folder')
def test_labels_beyond_the_heads(check):
    with pytest.raises(UserError, match='line 1: the label 2 is none of the 2 classes'):
        check('owl/a.jpg 2', num_classes=2)


def test_imagenets_list(check, tmp_path):
    (tmp_path / 'meta').mkdir()
    (tmp_path / 'meta/train.txt').write_text('cat/a.jpg 1000')
    kwargs = dict(split='train', data_prefix='cat')
    with pytest.raises(UserError, match='meta/train.txt, line 1: the label 1000 is none of the 10'):
        check(type='ImageNet', **kwargs)


def test_lists_that_mmpretrain_cannot_read(check, tmp_path):
    for raw, message in (
        ('\ufeffcat/a.jpg 0\n'.encode(), 'begins with a byte order mark'),
        (b'caf\xe9.jpg 0\n', 'is not UTF-8 .*: save it as UTF-8'),
    ):
        (tmp_path / 'raw.txt').write_bytes(raw)
        with pytest.raises(UserError, match=f'raw.txt {message}'):
            check(ann_file='raw.txt')
    with pytest.raises(UserError, match='lists no image'):
        check('')


def test_labels_that_teach_nothing(check):
    with pytest.raises(UserError, match='all 2 labels are 1, so 2 of 3 classes never occur'):
        check('cat/a.jpg 1\ndog/a.jpg 1\n')
