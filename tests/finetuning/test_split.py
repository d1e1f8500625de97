"""The validation set that is taken from one set."""

import pytest

from sparx_mm.errors import UserError
from sparx_mm.finetuning.split import split_images

# a class of every image, another of most, and one of a single image
CLASSES = [{'all', 'most'} for _ in range(18)] + [{'all', 'rare'}, set()]


def test_a_fifth_is_taken_and_no_class_is_lost():
    for seed in range(20):
        train, val = split_images(CLASSES, seed)
        assert (len(train), len(val)) == (16, 4)
        assert sorted(train + val) == list(range(20))
        assert set().union(*(CLASSES[i] for i in train)) == {'all', 'most', 'rare'}
        assert 18 in train and all(CLASSES[i] for i in val)


def test_the_seed_decides():
    assert split_images(CLASSES, 0) == split_images(CLASSES, 0) != split_images(CLASSES, 1)


@pytest.mark.parametrize(
    'classes,message',
    [([{'a'}], '1 annotated image'), ([{'a'}, {'b'}], 'the only one of some class')],
)
def test_too_few_images(classes, message):
    with pytest.raises(UserError, match=message):
        split_images(classes, 0)
