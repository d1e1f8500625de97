"""The engine that translates names and shapes by a family's rows."""

import torch

from sparx_mm.state_dicts import KeyMap
from sparx_mm.state_dicts.keymap import is_bn_counter
from sparx_mm.state_dicts.shapes import LINEAR, SAME

KEY_MAP = KeyMap(
    'test',
    layouts=('b{}.{}.', 'block.{}.{}.'),
    layer=(('fc.', 'proj.', LINEAR), ('linear.', 'proj.', LINEAR), ('scale', 'mixer.D')),
    top=(
        ('stem.0.', 'stem.conv.', LINEAR, 'stem.1.'),
        ('stem.0.', 'stem.proj.'),
        ('norm{}.', 'norms.{}.'),
        ('last.', 'norms.3.'),
    ),
    mark=r'b\d+\.\d+\.fc\.',
    optional=r'norms\..*|.*\.D',
    derived=r'.*\.index',
)


def test_layers_and_numbers():
    own = {
        'b0.12.fc.weight': 'stages.0.layers.12.proj.weight',
        'block.3.1.linear.bias': 'stages.3.layers.1.proj.bias',
        'b0.0.scale': 'stages.0.layers.0.mixer.D',
        'norm2.bias': 'norms.2.bias',
        'last.bias': 'norms.3.bias',
    }
    foreign = ['b0.0.scales', 'b0.fc.weight', 'norm2', 'last', 'x.norm2.bias', 'bx.0.scale']
    assert KEY_MAP.own_names([*own, *foreign]) == own


def test_what_is_written_is_the_first_row():
    assert KEY_MAP.released_names(['stages.3.layers.1.proj.bias', 'norms.3.bias', 'head.w']) == {
        'stages.3.layers.1.proj.bias': 'b3.1.fc.bias',
        'norms.3.bias': 'norm3.bias',
    }


def test_a_row_may_need_another_name():
    assert KEY_MAP.own_names(['stem.0.w']) == {'stem.0.w': 'stem.proj.w'}
    assert KEY_MAP.own_names(['stem.0.w', 'stem.1.w']) == {'stem.0.w': 'stem.conv.w'}
    # only among the names under the prefix
    state = {'a.stem.0.w': 1, 'b.stem.0.w': 2, 'b.stem.1.w': 3}
    assert list(KEY_MAP.to_own(state, 'a.')) == ['a.stem.proj.w', 'b.stem.0.w', 'b.stem.1.w']
    for own in ('stem.conv.w', 'stem.proj.w'):
        assert KEY_MAP.released_names([own]) == {own: 'stem.0.w'}


def test_an_own_name_may_need_another_beside_it():
    key_map = KeyMap(
        'test',
        layouts=('b{}.{}.',),
        layer=(('in.', 'proj.', SAME, '', 'mixer.D'), ('qkv.', 'proj.'), ('D', 'mixer.D')),
        top=(('wide.{}.w', 'down.{}.w', SAME, '', 'down.{}.b'), ('down.{}.w', 'down.{}.w')),
    )
    start = 'stages.2.layers.1.'
    with_d, without = f'{start}proj.bias', 'stages.2.layers.0.proj.bias'
    names = [with_d, without, f'{start}mixer.D', 'down.0.w', 'down.1.w', 'down.1.b']
    released = key_map.released_names(names)
    assert released == {
        with_d: 'b2.1.in.bias',
        without: 'b2.0.qkv.bias',
        f'{start}mixer.D': 'b2.1.D',
        'down.0.w': 'down.0.w',
        'down.1.w': 'wide.1.w',
    }
    # a released name has one meaning
    assert key_map.own_names(['b2.0.in.bias']) == {'b2.0.in.bias': without}


def test_values_keep_their_order_and_content():
    weight = torch.rand(2, 3)
    state = {'head': None, 'x.b0.0.fc.weight': weight, 'x.b0.0.fc.bias': 'text', 'x.last.w': 4}
    before = dict(state)
    own = KEY_MAP.to_own(state, 'x.')
    start = 'x.stages.0.layers.0.proj.'
    assert list(own) == ['head', f'{start}weight', f'{start}bias', 'x.norms.3.w']
    assert own[f'{start}weight'].shape == (2, 3, 1, 1)
    assert [own['head'], own[f'{start}bias'], own['x.norms.3.w']] == [None, 'text', 4]
    assert state == before
    back = KEY_MAP.to_released(own, 'x.')
    assert back['x.b0.0.fc.weight'].equal(weight) and back['x.norm3.w'] == 4


def test_what_a_file_may_lack():
    required = ['stem.conv.w', 'stages.0.layers.0.proj.weight']
    optional = ['norms.0.weight', 'stages.0.layers.0.mixer.D', 'stem.1.num_batches_tracked']
    assert [n for n in required + optional if KEY_MAP.is_required(n)] == required
    assert [n for n in required + optional if is_bn_counter(n)] == optional[-1:]
    assert KEY_MAP.drop_derived({'b0.0.index': 1, 'index': 2}) == {'index': 2}


def test_marks():
    assert KEY_MAP.marked_prefix('b0.0.fc.weight') == ''
    assert KEY_MAP.marked_prefix('model.a.b0.0.fc.weight') == 'model.a.'
    assert KEY_MAP.marked_prefix('stages.0.layers.0.proj.weight') is None


def test_a_map_without_rows_keeps_all():
    state = {'stages.0.layers.0.proj.weight': torch.rand(2, 3)}
    empty = KeyMap('nothing')
    assert empty.to_own(state) == empty.to_released(state) == state
    assert empty.marked_prefix('a.b') is None


def test_parts_are_joined_where_all_are_there():
    key_map = KeyMap(
        'test',
        layouts=(('block1.{}.', 'stages.0.layers.{}.'), ('block2.{}.', 'stages.1.layers.{}.')),
        layer=(('g#.fc.', 'mixer.fc.', LINEAR, '', '', 2), ('norm.', 'norm2.')),
    )
    first, second = torch.rand(2, 3), torch.rand(2, 3)
    state = {
        'x.block2.5.g1.fc.weight': first,
        'x.block2.5.norm.weight': torch.rand(1),
        'x.block2.5.g2.fc.weight': second,
        # a part is missing, or there is one too many
        'x.block1.0.g2.fc.weight': first,
        'x.block1.1.g3.fc.weight': first,
        'block1.0.g1.fc.weight': first,
    }
    before = dict(state)
    own = key_map.to_own(state, 'x.')
    assert state == before
    assert list(own) == [
        'x.stages.1.layers.5.mixer.fc.weight',
        'x.stages.1.layers.5.norm2.weight',
        'x.block1.0.g2.fc.weight',
        'x.block1.1.g3.fc.weight',
        'block1.0.g1.fc.weight',
    ]
    joined = own['x.stages.1.layers.5.mixer.fc.weight']
    assert joined.equal(torch.cat([first, second])[:, :, None, None])
    back = key_map.to_released({'x.stages.1.layers.5.mixer.fc.weight': joined}, 'x.')
    assert list(back) == ['x.block2.5.g1.fc.weight', 'x.block2.5.g2.fc.weight']
    assert back['x.block2.5.g2.fc.weight'].equal(second)
    # tensors of their own, as a file holds them
    assert back['x.block2.5.g2.fc.weight'].untyped_storage().nbytes() == second.nbytes
    assert key_map.own_names(['block1.3.g2.fc.w', 'block1.3.norm.w']) == {
        'block1.3.g2.fc.w': 'stages.0.layers.3.mixer.fc.w',
        'block1.3.norm.w': 'stages.0.layers.3.norm2.w',
    }
    name = 'stages.0.layers.3.mixer.fc.w'
    assert key_map.released_names([name]) == {name: 'block1.3.g1.fc.w'}
    # what is no tensor is there once, and in every part
    assert key_map.to_own({'block1.3.g1.fc.w': 1, 'block1.3.g2.fc.w': 1}) == {name: 1}
    assert list(key_map.to_released({name: 1}).values()) == [1, 1]
