"""The table of learning rates and decays against the optimizer's groups."""

import pytest
import torch
from detection import CONFIG, tiny_config
from mmengine.optim import OptimWrapper, OptimWrapperDict, build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from tool_process import run_tool
from torch import nn

from sparx_mm.engine import make_optim_table

pytestmark = pytest.mark.stack


def parse(table):
    """Return the rows below the head, as (rate, decay, tensors, millions)."""
    head, *rows = table.splitlines()
    assert head.split() == ['rate', 'decay', 'tensors', 'millions', 'parameters']
    cells = [row.split() for row in rows]
    numbers = [row for row in cells if row[0][0].isdigit()]
    words = {row[0]: row[1:] for row in cells if not row[0][0].isdigit()}
    return [tuple(map(float, row[:4])) for row in numbers], words


def grouped(model, optimizer):
    """Compute the rows from the optimizer alone."""
    sums = {}
    for group in optimizer.param_groups:
        sizes = sums.setdefault((group['lr'], group['weight_decay']), [])
        sizes += [p.numel() for p in group['params'] if p.requires_grad]
    return [
        (rate, decay, len(sizes), sum(sizes) / 1e6) for (rate, decay), sizes in sorted(sums.items())
    ]


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(optim_wrapper__paramwise_cfg__layer_decay_rate=0.8),
        dict(optim_wrapper__paramwise_cfg=None),
        dict(model__backbone__frozen_stages=2, optim_wrapper__paramwise_cfg__layer_decay_rate=0.5),
    ],
    ids=['default', 'layers', 'plain', 'frozen'],
)
def test_rows_are_the_optimizers(options, shapes):
    cfg = tiny_config(CONFIG, shapes, **options)
    init_default_scope('mmdet')
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    rows, words = parse(make_optim_table(model, wrapper))
    expected = grouped(model, wrapper.optimizer)
    assert len(rows) == len(expected)
    for row, (rate, decay, tensors, millions) in zip(rows, expected):
        assert row[0] == pytest.approx(rate, rel=1e-3)
        assert row[1:3] == (decay, tensors)
        assert row[3] == pytest.approx(millions, abs=6e-4)
    # each parameter once
    sizes = [p.numel() for p in model.parameters()]
    frozen = [p for p in model.parameters() if not p.requires_grad]
    assert words.pop('total') == [str(len(sizes)), f'{sum(sizes) / 1e6:.3f}']
    assert int(words.pop('frozen', [0])[0]) == len(frozen)
    assert sum(row[2] for row in rows) + len(frozen) == len(sizes)
    assert not words


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 4) for _ in range(3))
        self.head = nn.Linear(8, 2)


def sgd(parameters, **settings):
    return OptimWrapper(torch.optim.SGD(parameters, **settings))


def test_the_whole_table():
    model = Small()
    model.layers[0].requires_grad_(False)
    wrapper = sgd(
        [
            dict(params=model.layers.parameters(), lr=0.5, weight_decay=0.1),
            dict(params=[model.head.weight]),
        ],
        lr=2.0,
    )
    assert make_optim_table(model, wrapper).splitlines() == [
        'rate                  decay  tensors  millions  parameters',
        '0.5                     0.1        4     0.000  layers.*: weight, bias',
        '2                         0        1     0.000  head.weight',
        'frozen                             2     0.000  layers.0: weight, bias',
        'not in the optimizer               1     0.000  head.bias',
        'total                              8     0.000',
    ]


def test_a_row_names_its_largest_parameters():
    model = nn.ModuleDict(
        {
            name: nn.Linear(size, 1, bias=False)
            for name, size in (('a', 1), ('b', 4), ('c', 2), ('d', 3), ('e', 1))
        }
    )
    row = make_optim_table(model, sgd(model.parameters(), lr=1.0)).splitlines()[1]
    assert row.endswith('b.weight, d.weight, c.weight, and 2 more')


def test_the_rate_is_that_before_its_schedule():
    model = Small()
    wrapper = sgd(model.parameters(), lr=0.25)
    before = make_optim_table(model, wrapper)
    torch.optim.lr_scheduler.LinearLR(wrapper.optimizer, start_factor=0.01)
    assert wrapper.optimizer.param_groups[0]['lr'] == 0.0025
    assert make_optim_table(model, wrapper) == before


def test_a_wrapped_model_has_its_own_names():
    model = Small()
    wrapper = sgd(model.parameters(), lr=1.0)
    assert make_optim_table(nn.DataParallel(model), wrapper) == make_optim_table(model, wrapper)


def test_several_optimizers():
    model = Small()
    wrappers = OptimWrapperDict(
        one=sgd(model.layers.parameters(), lr=1.0), two=sgd(model.head.parameters(), lr=2.0)
    )
    rows, words = parse(make_optim_table(model, wrappers))
    assert [row[:3] for row in rows] == [(1, 0, 6), (2, 0, 2)]
    assert list(words) == ['total']


@pytest.mark.slow
def test_train_shows_it_before_the_first_iteration(shapes, tmp_path):
    cfg = tiny_config(
        CONFIG,
        shapes,
        train_cfg__max_epochs=1,
        default_hooks__logger__interval=1,
        optim_wrapper__paramwise_cfg__layer_decay_rate=0.8,
    )
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.dump(tmp_path / 'tiny.py')
    log = run_tool(
        'train', tmp_path / 'tiny.py', '--show-optim', '--work-dir', 'out', folder=tmp_path
    )
    before, after = log.split('optimizer:\nrate ')
    assert 'Epoch(train)' not in before and '[1][2/2]' in after
    lines = ('rate ' + after).split('\ntotal ')[0] + '\ntotal 0'
    rows, _ = parse(lines)
    # 10 depths, of which only that of the output norms has no decay
    rates = sorted({row[0] for row in rows})
    assert rates == [pytest.approx(1e-4 * 0.8**n, rel=1e-3) for n in reversed(range(10))]
