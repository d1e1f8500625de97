"""The validation set that is taken from one set."""

import pytest

from sparx_mm.errors import UserError
from sparx_mm.finetuning.split import split_images

# a class of every image with objects, another of most, and one of a single image
CLASSES = [{'all', 'most'} for _ in range(14)] + [{'all', 'rare'}] + [set() for _ in range(85)]


def test_a_fifth_is_taken_and_no_class_is_lost():
    for seed in range(20):
        train, val = split_images(CLASSES, seed)
        assert sorted(train + val) == list(range(100))
        assert set().union(*(CLASSES[i] for i in train)) == {'all', 'most', 'rare'}
        # of 15 images with objects, and of 85 without
        assert [sum(bool(CLASSES[i]) for i in part) for part in (train, val)] == [12, 3]
        assert (len(train), len(val)) == (80, 20)


def test_the_seed_decides():
    assert split_images(CLASSES, 0) == split_images(CLASSES, 0) != split_images(CLASSES, 1)


@pytest.mark.parametrize(
    'classes,message',
    [
        ([{'a'}], '1 annotated image'),
        ([{'a'}, {'b'}], 'the only one of some class'),
        # images without objects validate nothing alone
        ([{'a'}, *(set() for _ in range(9))], 'the only one of some class'),
    ],
)
def test_too_few_images(classes, message):
    with pytest.raises(UserError, match=message):
        split_images(classes, 0)
