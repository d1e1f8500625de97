"""Nested configs are walked with the key of each dict."""

from sparx_mm.config_nodes import walk


def test_walk_names_every_dict():
    tree = dict(a=[dict(b=1), dict(c=dict(d=2))], e='text', f=None)
    assert [key for key, _ in walk(tree)] == ['', 'a.0', 'a.1', 'a.1.c']
    assert dict(walk(tree, 'top'))['top.a.1.c'] == dict(d=2)
