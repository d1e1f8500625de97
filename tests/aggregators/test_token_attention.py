"""Attention between positions."""

import pytest
import torch

from sparx_mm.aggregators.token_attention import choose_num_heads, to_tokens, token_attention


def test_heads_are_equal_and_have_32_channels_or_more():
    for dim in (96, 120, 192, 240, 320, 328, 396, 512, 544, 576, 616, 636):
        heads = choose_num_heads(dim)
        assert dim % heads == 0 and dim // heads >= 32
        # no more would do
        assert not [n for n in range(heads + 1, dim // 32 + 1) if dim % n == 0]
    assert [choose_num_heads(dim) for dim in (1, 8, 31, 40)] == [1] * 4
    assert choose_num_heads(8, 4) == 4


def test_tokens_are_positions_row_by_row():
    x = torch.arange(24.0).view(1, 2, 3, 4)
    for layout in (torch.contiguous_format, torch.channels_last):
        tokens = to_tokens(x.contiguous(memory_format=layout))
        assert tokens.shape == (1, 12, 2)
        assert tokens[0, 6].equal(x[0, :, 1, 2])


def test_order_of_the_tokens_does_not_matter():
    torch.manual_seed(0)
    q = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    k = torch.randn(2, 11, 6, dtype=torch.float64)
    v = torch.randn(2, 11, 12, dtype=torch.float64)
    out = token_attention(q, k, v, 3)
    assert out.shape == (2, 12, 3, 5)
    order = torch.randperm(11)
    again = token_attention(q, k[:, order], v[:, order], 3)
    torch.testing.assert_close(again, out, atol=1e-12, rtol=1e-12)
    # keys and values belong together
    assert not torch.allclose(token_attention(q, k, v[:, order], 3), out)


def test_a_position_takes_the_value_of_the_key_it_resembles():
    # one-hot keys, and queries that point at them
    keys = torch.eye(4)
    picked = torch.tensor([[2, 0, 1], [3, 3, 0]])
    q = 1000 * keys[picked].permute(2, 0, 1)[None]
    v = torch.randn(1, 4, 5)
    out = token_attention(q, keys[None], v, 1)
    wanted = v[0, picked].permute(2, 0, 1)[None]
    torch.testing.assert_close(out, wanted)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_fused_kernels_take_it(layout):
    """With 4096 positions, whose logits would need 64 MiB a head."""
    q = torch.randn(1, 32, 64, 64).contiguous(memory_format=layout)
    tokens = to_tokens(q)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):
        out = token_attention(q, tokens, tokens, 1)
    assert out.is_contiguous(memory_format=layout)
