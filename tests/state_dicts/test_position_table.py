"""Tables of relative position biases of another window."""

import pytest
import torch

from sparx_mm.state_dicts import resize_position_table, resize_tables

NAME = 'relative_position_bias_table'


def slope(window, dtype=torch.float32):
    """Biases that grow with the offset down, and to the right."""
    offsets = torch.linspace(-1, 1, 2 * window - 1, dtype=dtype)
    down, right = torch.meshgrid(offsets, offsets, indexing='ij')
    return torch.stack([down, right], -1).flatten(0, 1)


@pytest.mark.parametrize('given,window', [(7, 12), (12, 7), (7, 8)])
def test_keeps_a_smooth_bias(given, window):
    resized = resize_position_table(slope(given), (2 * window - 1) ** 2)
    assert resized.shape == ((2 * window - 1) ** 2, 2)
    assert resized.is_contiguous()
    # pixels' edges, not their centres, are aligned: 0.08 is half of a step
    torch.testing.assert_close(resized, slope(window), atol=0.08, rtol=0)
    # what is opposite stays so
    torch.testing.assert_close(resized.flip(0), -resized)


def test_heads_are_apart():
    torch.manual_seed(0)
    table = torch.randn(49, 3)
    whole = resize_position_table(table, 81)
    for head in range(3):
        alone = resize_position_table(table[:, head : head + 1], 81)
        torch.testing.assert_close(whole[:, head : head + 1], alone)


def test_is_swins_own_interpolation():
    torch.manual_seed(0)
    table = torch.randn(13 * 13, 3, dtype=torch.float64)
    maps = table.permute(1, 0).view(1, 3, 13, 13)
    maps = torch.nn.functional.interpolate(maps, size=(23, 23), mode='bicubic')
    wanted = maps.view(3, 23 * 23).permute(1, 0)
    assert resize_position_table(table, 23 * 23).equal(wanted)


def test_of_equal_size_is_the_table_itself():
    table = slope(7)
    assert resize_position_table(table, 169) is table


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float64])
def test_keeps_the_dtype(dtype):
    resized = resize_position_table(slope(4, torch.float64).to(dtype), 81)
    assert resized.dtype == dtype
    wanted = resize_position_table(slope(4, torch.float64), 81).to(dtype)
    # 16 bits of what was rounded to them
    torch.testing.assert_close(resized, wanted, atol=2 * torch.finfo(dtype).eps, rtol=0)


@pytest.mark.parametrize('given,length', [(168, 169), (169, 168), (16, 49), (49, 64), (0, 49)])
def test_sides_must_be_odd(given, length):
    with pytest.raises(ValueError, match=f'table of {given} to {length}'):
        resize_position_table(torch.zeros(given, 2), length)


def test_tables_of_a_file():
    other = torch.zeros(5)
    file = {
        f'a.{NAME}': slope(4),
        f'b.{NAME}': slope(7),
        'c.weight': slope(4),
        f'd.{NAME}': slope(4),
        'e': other,
    }
    given = dict(file)
    model = {f'a.{NAME}': slope(7), f'b.{NAME}': slope(7), 'c.weight': slope(7)}
    resized = resize_tables(file, model)
    assert list(resized) == list(file)
    assert resized.pop(f'a.{NAME}').equal(resize_position_table(slope(4), 169))
    # of the same size, of another name, not in the model
    assert all(resized[name] is file[name] for name in resized)
    assert all(file[name] is value for name, value in given.items())


@pytest.mark.parametrize(
    'value',
    [
        torch.zeros(49, 3),
        torch.zeros(48, 2),
        torch.zeros(49, 2, dtype=torch.int64),
        torch.zeros(49),
        torch.zeros(0, 2),
        'text',
    ],
)
def test_what_cannot_be_resized_stays(value):
    resized = resize_tables({NAME: value}, {NAME: slope(7)})
    assert resized[NAME] is value
