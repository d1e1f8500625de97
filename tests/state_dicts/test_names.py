"""Many names in a few words."""

from sparx_mm.state_dicts import fold_names, summarize


def test_numbers_are_folded_where_they_differ():
    names = [f'a.{i}.b.{j}.w1' for i in (0, 10) for j in (3,)] + ['a.3.c']
    assert fold_names(names) == {
        'a.*.b.3.w1': ['a.0.b.3.w1', 'a.10.b.3.w1'],
        'a.3.c': ['a.3.c'],
    }


def test_summarize():
    assert summarize([]) == ''
    names = [f'a.{i}.w' for i in range(12)] + ['b', 'c', 'd.0', 'd.1', 'e']
    assert summarize(names) == 'a.*.w (12), b, c and 3 more'
    assert summarize(names, most=9) == 'a.*.w (12), b, c, d.* (2), e'
