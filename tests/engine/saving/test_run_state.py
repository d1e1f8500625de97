"""A run that is stopped and resumed ends with the weights of one that is not."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from noisy_run import Noisy, make_noisy

from sparx_mm.engine.saving.data_position import continue_batches
from sparx_mm.engine.saving.random_state import get_random_state, set_random_state
from sparx_mm.errors import UserError

pytestmark = pytest.mark.stack
MID_EPOCH = dict(checkpoint=dict(by_epoch=False))


def ending(folder, *args, **kwargs):
    """Train, and return all that the last checkpoint says about weights and moments."""
    make_noisy(folder, *args, **kwargs).train()
    path = (folder / 'last_checkpoint').read_text()
    saved = torch.load(path, weights_only=False)
    state = {f'{i}.{k}': v for i, s in saved['optimizer']['state'].items() for k, v in s.items()}
    return {**saved['state_dict'], **saved['ema_state_dict'], **state}


def same(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def log_of(folder):
    return ''.join(path.read_text() for path in folder.glob('*/*.log'))


@pytest.mark.tries('stopped and resumed, at the end')
@pytest.mark.parametrize(
    'length,middle,kwargs',
    [
        (2, 'epoch_1', dict(validate=True)),
        # in the middle of an epoch of four iterations
        (2, 'iter_6', MID_EPOCH),
        # in the second pass over the data, with a seed that each run draws for itself
        (6, 'iter_5', dict(by_epoch=False, seed=None)),
        pytest.param(2, 'iter_2', dict(MID_EPOCH, seed=None), marks=pytest.mark.faults),
        # after the last iteration of an epoch, before what ends the epoch
        pytest.param(2, 'iter_4', dict(MID_EPOCH, validate=True), marks=pytest.mark.faults),
        pytest.param(6, 'iter_2', dict(by_epoch=False, validate=True), marks=pytest.mark.faults),
    ],
)
def test_resuming_is_exact(tmp_path, length, middle, kwargs):
    whole = ending(tmp_path / 'whole', length, **kwargs)
    # a process that has drawn other numbers
    torch.rand(7), random.random(), np.random.rand(3)
    start = tmp_path / 'whole' / f'{middle}.pth'
    rest = dict(kwargs, resume=True, load_from=str(start))
    assert same(whole, ending(tmp_path / 'rest', length, **rest))
    assert 'resumed exactly' in log_of(tmp_path / 'rest')


@pytest.mark.parametrize('sizes', [(2, 4, 4), (8, 2, 4), (4, 2, 8)])
def test_epochs_of_other_lengths_are_whole(tmp_path, sizes):
    """Of 8 images by batches of other sizes in each epoch."""
    trained = 0
    for epochs, size in enumerate(sizes, 1):
        runner = make_noisy(tmp_path, epochs, batch_size=size, resume=epochs > 1)
        runner.train()
        trained += 8 // size
        assert (runner.epoch, runner.iter) == (epochs, trained)


@pytest.mark.tries('stopped and resumed, at the end')
def test_early_stopping_goes_on_counting(tmp_path):
    found = []
    for resume in (False, True):
        stop = dict(type='EarlyStoppingHook', monitor='acc', rule='greater')
        runner = make_noisy(tmp_path, 1, custom_hooks=[stop], resume=resume)
        hook = next(hook for hook in runner.hooks if type(hook).__name__ == stop['type'])
        if not resume:
            hook.wait_count, hook.best_score = 3, np.float32(0.5)
        runner.train()
        found.append((hook.wait_count, hook.best_score))
    assert found == [(3, 0.5)] * 2


def test_a_size_that_was_drawn_for_some_batches_stays(tmp_path):
    """YOLOX draws another one every ten iterations."""
    data_preprocessors = pytest.importorskip('mmdet.models.data_preprocessors')
    found = []
    for resume in (False, True):
        runner = make_noisy(tmp_path, 1, resume=resume)
        runner.model.resize = data_preprocessors.BatchSyncRandomResize((32, 96), interval=10)
        if not resume:
            runner.model.resize._input_size = (64, 96)
        runner.train()
        found.append(runner.model.resize._input_size)
    assert found == [(64, 96)] * 2


def test_early_stopping_begins_anew_with_another_metric(tmp_path):
    for monitor, resume in (('acc', False), ('loss', True), (None, True)):
        stop = dict(type='EarlyStoppingHook', monitor=monitor or 'acc', rule='greater')
        if monitor is None:
            # of a version that did not save it
            saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
            del saved['run_state']['early_stopping']
            torch.save(saved, tmp_path / 'epoch_1.pth')
        runner = make_noisy(tmp_path, 1, custom_hooks=[stop], resume=resume)
        hook = next(hook for hook in runner.hooks if type(hook).__name__ == stop['type'])
        if not resume:
            hook.wait_count, hook.best_score = 3, np.float32(0.5)
        runner.train()
        assert hook.wait_count == (0 if resume else 3)


@pytest.mark.tries('resumed from a checkpoint of another hook')
def test_without_the_random_states_it_is_another_run(tmp_path):
    """The reason for all this, and the proof that the comparison can fail."""
    whole = ending(tmp_path / 'whole', 2)
    start = tmp_path / 'start.pth'
    saved = torch.load(tmp_path / 'whole/epoch_1.pth', weights_only=False)
    del saved['run_state']
    torch.save(saved, start)
    rest = ending(tmp_path / 'rest', 2, resume=True, load_from=str(start))
    assert not same(whole, rest)
    assert 'not exactly: the checkpoint has no random states' in log_of(tmp_path / 'rest')


@pytest.mark.parametrize(
    'changes,reason',
    [
        pytest.param(
            dict(batch_size=4),
            'the batch size was 2 and is 4; the number of batches was 4 and is 2',
            marks=pytest.mark.tries('resumed with another batch size'),
        ),
        pytest.param(
            dict(workers=1),
            'workers of the data loader draw random numbers of their own',
            marks=[pytest.mark.faults, pytest.mark.tries('resumed with workers')],
        ),
    ],
)
def test_what_is_not_exact_is_said(tmp_path, changes, reason):
    make_noisy(tmp_path / 'a', 1, checkpoint=dict(by_epoch=False)).train()
    start = str(tmp_path / 'a/iter_2.pth')
    runner = make_noisy(tmp_path / 'b', 1, resume=True, load_from=start, **changes)
    seen = []
    run_iter = runner.train_loop.run_iter
    runner.train_loop.run_iter = lambda i, batch: (seen.append(i), run_iter(i, batch))
    runner.train()
    assert f'resumed, but not exactly: {reason}\n' in log_of(tmp_path / 'b')
    # the other half of the epoch, whatever the size of its batches
    batches = len(runner.train_dataloader)
    assert seen == list(range(batches // 2, batches))


@pytest.mark.tries('resumed from a checkpoint of another hook')
@pytest.mark.faults
def test_a_sampler_of_another_kind_may_have_another_order(tmp_path):
    data = Noisy()
    for epochs in (1, 2):
        loader = torch.utils.data.DataLoader(data, 2, sampler=torch.utils.data.RandomSampler(data))
        make_noisy(tmp_path, epochs, train_dataloader=loader, resume=epochs == 2).train()
    reason = 'RandomSampler may give the data in another order'
    assert f'resumed, but not exactly: {reason}\n' in log_of(tmp_path)


def test_a_state_that_does_not_fit(tmp_path):
    make_noisy(tmp_path / 'a', 1).train()
    saved = torch.load(tmp_path / 'a/epoch_1.pth', weights_only=False)
    for name, value in (('random', [dict(python=5)]), ('batches', 0)):
        path = tmp_path / 'b.pth'
        torch.save({**saved, 'run_state': {**saved['run_state'], name: value}}, path)
        runner = make_noisy(tmp_path / 'b', 2, resume=True, load_from=str(path))
        with pytest.raises(UserError, match='b.pth cannot be resumed: its run_state is not'):
            runner.train()


def test_mmengine_that_reads_what_it_skips():
    """As 0.10.7 does, whose iterator cannot skip."""
    calls = []
    loop = SimpleNamespace(dataloader_iterator=iter('abcd'), iter=2)
    continue_batches(loop, lambda: calls.append('state'))
    for _ in range(loop.iter):
        next(loop.dataloader_iterator)
    assert calls == []
    assert next(loop.dataloader_iterator) == 'c' and calls == ['state']
    assert next(loop.dataloader_iterator) == 'd' and calls == ['state']


def test_random_states_come_back():
    def draw():
        return random.random(), np.random.rand(), np.random.randn(), torch.rand(1).item()

    np.random.randn()
    state = get_random_state()
    expected = draw()
    draw()
    set_random_state(state)
    assert draw() == expected
