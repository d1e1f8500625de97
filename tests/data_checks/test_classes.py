"""One number of classes in data, model and metrics."""

from types import SimpleNamespace

import pytest
from mmengine.config import Config

from sparx_mm.data_checks.classes import check_classes, check_same_classes
from sparx_mm.data_checks.heads import check_heads
from sparx_mm.errors import UserError

DATASET = SimpleNamespace(metainfo=dict(classes=('a', 'b')))


def _check(parts=None, dataset=DATASET, split='val', **cfg):
    """Check a model with parts by name, of some number of classes."""
    modules = {name: SimpleNamespace(num_classes=number) for name, number in (parts or {}).items()}
    model = SimpleNamespace(named_modules=modules.items)
    check_classes(SimpleNamespace(model=model, cfg=Config(cfg)), dataset, split)


def test_all_that_is_wrong_is_in_one_line():
    with pytest.raises(UserError) as error:
        _check(dict(data_preprocessor=1000, head=1000, backbone=7))
    assert str(error.value) == (
        'model.data_preprocessor.num_classes is 1000 and the data set has 2 '
        'classes: give model.data_preprocessor.num_classes=2 '
        'model.head.num_classes=2, or name its classes in metainfo.classes'
    )


def test_what_has_no_number_or_the_right_one():
    _check(dict(data_preprocessor=None, head=2))
    _check(dict(head=1000), SimpleNamespace())
    _check(dict(head=1000), SimpleNamespace(metainfo=dict()))
    # theirs count in their own way
    _check({'rpn_head': 1, 'roi_head.semantic_head': 183, 'head.loss': 7, 'bbox_head.loss': 7})


@pytest.mark.tries('classes in another order')
@pytest.mark.parametrize(
    'name,key',
    [
        ('bbox_head', 'bbox_head'),
        ('roi_head.bbox_head.2', 'roi_head.bbox_head.2'),
        ('roi_head.mask_head', 'roi_head.mask_head'),
        ('student.roi_head.bbox_head', 'detector.roi_head.bbox_head'),
    ],
)
def test_heads_of_detectors(name, key):
    """Their defaults are not in the config: the built model is asked too."""
    with pytest.raises(UserError, match=f'model.{key}.num_classes is 80 .* give model.{key}'):
        _check({name: 80, 'teacher.bbox_head': 80})
    _check({name: 2})


def test_panoptic_heads():
    fusion = SimpleNamespace(num_things_classes=2, num_stuff_classes=1, num_classes=3)
    parts = dict(bbox_head=SimpleNamespace(num_classes=2), panoptic_fusion_head=fusion)
    check_heads(parts.items(), 3, things=2)
    with pytest.raises(UserError, match='bbox_head.num_classes=3'):
        check_heads(parts.items(), 3)
    fusion.num_stuff_classes = 0
    with pytest.raises(UserError, match='panoptic_fusion_head.num_things_classes=3'):
        check_heads(parts.items(), 3, things=2)


@pytest.mark.parametrize('metainfo', [[dict(classes=['a', 'b']), dict(classes=['a'])], [{}, {}]])
def test_sets_that_are_concatenated(metainfo):
    """mmdet lists their metainfo if it differs."""
    _check(dict(head=2), SimpleNamespace(metainfo=metainfo))


def test_sets_of_other_classes_that_are_concatenated():
    metainfo = [dict(classes=['a', 'b']), dict(classes=['a', 'c'])]
    with pytest.raises(UserError, match="concatenated differ: 'b' and 'c', number 1"):
        _check(dict(head=2), SimpleNamespace(metainfo=metainfo))


def test_heads_of_boundaries():
    head = SimpleNamespace(num_classes=2, boundary_threshold=0.1)
    check_heads([('auxiliary_head.2', head)], 19)
    del head.boundary_threshold
    with pytest.raises(UserError, match='auxiliary_head.2.num_classes is 2 and the data set has'):
        check_heads([('auxiliary_head.2', head)], 19)


class CrossEntropyLoss:
    def __init__(self, use_sigmoid):
        self.use_sigmoid = use_sigmoid


@pytest.mark.tries('label maps, or labels of a list')
@pytest.mark.parametrize('number', [1, 2])
def test_one_channel(number):
    """It is a probability after a sigmoid, and nothing after a softmax."""
    head = SimpleNamespace(num_classes=number, out_channels=1)
    head.loss_decode = CrossEntropyLoss(use_sigmoid=True)
    check_heads([('decode_head', head)], 2)
    head.loss_decode = [object(), CrossEntropyLoss(use_sigmoid=False)]
    with pytest.raises(UserError, match='decode_head has one channel and a softmax loss, .*: give'):
        check_heads([('decode_head', head)], 2)


@pytest.mark.parametrize('topk', [5, (1, 5)])
@pytest.mark.parametrize('several', [False, True])
def test_best_of_more_classes_than_there_are(topk, several):
    metric = dict(type='Accuracy', topk=topk)
    evaluator = [dict(type='Other'), metric] if several else metric
    key = 'val_evaluator.1' if several else 'val_evaluator'
    with pytest.raises(UserError, match=f'give {key}.topk=1'):
        _check(val_evaluator=evaluator)
    _check(val_evaluator=evaluator, split='test')
    _check(val_evaluator=dict(type='Accuracy', topk=(1, 2)))


def folder_set(classes, folders=None):
    numbers = folders and {name: i for i, name in enumerate(folders)}
    return SimpleNamespace(metainfo=dict(classes=classes), folder_to_idx=numbers)


@pytest.mark.parametrize(
    'train,val,message',
    [
        (
            folder_set(['cat', 'dog']),
            folder_set(['cat', 'dog', 'elk']),
            "differ: None and 'elk', number 2; give both the same metainfo",
        ),
        (
            folder_set(['cat', 'dog']),
            folder_set(('dog', 'cat')),
            "differ: 'cat' and 'dog', number 0",
        ),
        (
            folder_set(['a', 'b'], ['n1', 'n2']),
            folder_set(['a', 'b'], ['n1', 'n3']),
            "folders .* differ: 'n2' and 'n3', number 1",
        ),
        (
            folder_set(['dog', 'cat'], ['cat', 'dog']),
            folder_set(['dog', 'cat'], ['cat', 'dog']),
            "give .'cat', 'dog'.$",
        ),
    ],
)
def test_classes_of_training_and_validation(train, val, message):
    with pytest.raises(UserError, match=message):
        check_same_classes(train, val)


def test_sets_that_agree_or_do_not_say():
    check_same_classes(
        folder_set(['Cat', 'Dog'], ['n1', 'n2']), folder_set(('Cat', 'Dog'), ['n1', 'n2'])
    )
    check_same_classes(folder_set(['cat']), SimpleNamespace())
    check_same_classes(SimpleNamespace(), SimpleNamespace(metainfo={}))
