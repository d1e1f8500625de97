"""NaN and infinity stop a run before its optimizer steps, and the images are named."""

import math
from pathlib import Path

import pytest
import torch
from bad_numbers import BadLoss, Files, run, two_ranks
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import OPTIM_WRAPPERS
from ranks import on_ranks
from small_run import Net

from sparx_mm.checkpoint_io import read_checkpoint
from sparx_mm.engine.hooks import finite
from sparx_mm.engine.hooks.finite import FiniteHook
from sparx_mm.engine.numbers.values import bad_images
from sparx_mm.errors import ConfigError, UserError

pytestmark = pytest.mark.stack
NAN, INF = math.nan, math.inf


def stopped(runner):
    """Train until the guard stops; the weights are finite then."""
    with pytest.raises(UserError) as error:
        runner.train()
    message = str(error.value)
    assert '\n' not in message and 'the optimizer has not stepped' in message
    assert all(p.isfinite().all() for p in runner.model.parameters())
    return message


def log_of(runner):
    (log,) = Path(runner.log_dir).glob('*.log')
    return log.read_text()


@pytest.mark.tries('a loss or gradient norm')
@pytest.mark.parametrize('factor', [NAN, INF, -INF])
def test_a_loss_stops_before_the_step(tmp_path, factor):
    runner = run(tmp_path, BadLoss(4, factor), epochs=3)
    message = stopped(runner)
    value = 'nan' if math.isnan(factor) else str(factor)
    assert message.startswith(f'iteration 4: loss_b is {value} for 2.png, 3.png; ')
    # the checkpoint of the first epoch is whole, and named
    path = tmp_path / 'run/epoch_1.pth'
    assert f'the last checkpoint with finite weights is {path}; ' in message
    assert 'skip_limit=N' in message
    steps = runner.optim_wrapper.optimizer.state_dict()['state'][0]['step']
    assert steps == 3
    assert read_checkpoint(str(path))['meta']['iter'] == 2


def test_a_checkpoint_that_is_not_finite_is_not_named(tmp_path):
    runner = run(tmp_path, BadLoss(6), epochs=3)

    def spoil(model):
        if model.passes == 4:
            model.norm.running_mean.fill_(NAN)

    runner.register_hook(dict(type='SyncBuffersHook'))
    runner.hooks[-1].after_train_iter = lambda runner, **kwargs: spoil(runner.model)
    assert f'finite weights is {tmp_path / "run/epoch_1.pth"};' in stopped(runner)


@pytest.mark.tries('a loss or gradient norm')
def test_gradients_stop_too(tmp_path):
    class Root(Net):
        """A loss of 0 whose gradient is infinite."""

        def forward(self, inputs, mode='tensor', **kwargs):
            out = super().forward(inputs)
            return dict(loss=(out * 0).abs().sum().sqrt()) if mode == 'loss' else out

    message = stopped(run(tmp_path, Root()))
    assert message.startswith('iteration 1: the gradient norm is nan for 0.png, 1.png; ')
    assert f'there is no checkpoint yet in {tmp_path}' in message


def test_a_norm_that_overflows_is_no_step_of_zeros(tmp_path):
    """Finite gradients divided by an infinite norm are zeros."""
    optim = dict(clip_grad=dict(max_norm=1.0))
    message = stopped(run(tmp_path, BadLoss(1, 1e25), optim=optim))
    assert message.startswith('iteration 1: the gradient norm is inf for 0.png, 1.png; ')


@pytest.mark.tries('NaN, infinite or 1e30')
@pytest.mark.parametrize('pixel', [NAN, INF, -INF, 1e30])
def test_pixels(tmp_path, pixel):
    runner = run(tmp_path, data=Files({3: pixel}))
    message = stopped(runner)
    fault = 'up to 1e+30' if pixel == 1e30 else 'that are NaN or infinite'
    fault = f'of {fault}' if pixel == 1e30 else fault
    assert message.startswith(f'iteration 2: 3.png has pixels {fault}; the optimizer')
    # the forward pass has not seen them
    assert all(b.isfinite().all() for b in runner.model.buffers())


def test_bytes_are_not_read(tmp_path):
    """Only images of floating point can hold NaN."""
    found = bad_images(dict(inputs=[torch.zeros(3, 2, 2, dtype=torch.uint8)]))
    assert found == []


@pytest.mark.tries('a loss that is not finite, with skip_limit')
@pytest.mark.parametrize('spoil', [False, True])
def test_steps_are_left_out_up_to_a_limit(tmp_path, spoil):
    runner = run(tmp_path, BadLoss(3, spoil=spoil), epochs=3, skip_limit=1)
    before = []
    runner.hooks[-1].before_train_iter = lambda runner, **kwargs: before.append(
        {name: value.clone() for name, value in runner.model.state_dict().items()}
    )
    runner.train()
    after = before[3]
    for name, value in before[2].items():
        assert value.equal(after[name]) or name.endswith('num_batches_tracked')
    assert not before[4]['head.weight'].equal(after['head.weight'])
    log = log_of(runner)
    assert 'iteration 3: loss_b is nan for 0.png, 1.png: step 1 of at most 1' in log
    assert 'steps left out for NaN or infinity: 1' in log
    # and it is counted in the checkpoint
    hub = read_checkpoint(str(tmp_path / 'run/epoch_3.pth'))['message_hub']
    assert hub['runtime_info']['skipped_steps'] == 1


@pytest.mark.tries('a loss that is not finite, with skip_limit')
def test_one_more_than_the_limit_stops(tmp_path):
    runner = run(tmp_path, data=Files({2: NAN}), epochs=3, skip_limit=2)
    message = stopped(runner)
    assert message.startswith('iteration 6: 2.png has pixels')
    assert '2 steps have been left out before it' in message


def test_the_limit_is_a_number():
    for wrong in (-1, 1.5, True, None):
        with pytest.raises(ConfigError, match='skip_limit must be an int of 0 or more'):
            FiniteHook(wrong)


def test_accumulated_gradients(tmp_path):
    """What an earlier batch of the step has spoiled is named."""
    runner = run(tmp_path, BadLoss(1), optim=dict(accumulative_counts=2))
    message = stopped(runner)
    assert message.startswith('iteration 1: loss_b is nan for 0.png, 1.png; ')
    runner = run(tmp_path / 'ok', epochs=3, optim=dict(accumulative_counts=2))
    runner.train()
    assert runner.optim_wrapper.optimizer.state_dict()['state'][0]['step'] == 3


def test_several_optimizers_of_which_none_steps(tmp_path):
    """As in an iteration of one network of two, or while gradients are accumulated."""
    runner = run(tmp_path, epochs=1)
    optimizer = torch.optim.SGD(runner.model.parameters(), lr=0.1)
    runner.optim_wrapper = OptimWrapperDict(one=OptimWrapper(optimizer))
    hook = next(hook for hook in runner.hooks if isinstance(hook, FiniteHook))
    hook.before_train(runner)
    for _ in range(3):
        hook.before_train_iter(runner, 0, dict(inputs=torch.zeros(1)))
        hook.after_train_iter(runner, 0)
    hook.after_train(runner)


@OPTIM_WRAPPERS.register_module()
class ScaledOptimWrapper(OptimWrapper):
    """AmpOptimWrapper's calls of a loss scaler, on a CPU and in float32."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=scale)

    def backward(self, loss, **kwargs):
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs):
        if self.clip_grad_kwargs:
            self.loss_scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()


@pytest.mark.tries('an overflow in float16')
@pytest.mark.parametrize('optim', [{}, dict(clip_grad=dict(max_norm=1.0))], ids=['', 'clip'])
@pytest.mark.parametrize('fused', [False, True])
def test_an_overflow_is_left_to_the_loss_scaler(tmp_path, optim, fused):
    optimizer = dict(type='AdamW', lr=0.001, weight_decay=0.05, fused=fused)
    optim = dict(optim, type='ScaledOptimWrapper', scale=2.0**127, optimizer=optimizer)
    runner = run(tmp_path, BadLoss(0), epochs=10, optim=optim)
    before = runner.model.head.weight.clone()
    runner.train()
    assert runner.optim_wrapper.loss_scaler.get_scale() < 2.0**127
    assert not before.equal(runner.model.head.weight)


def test_a_scaled_loss_that_is_nan_stops(tmp_path):
    """No scale mends it, and each step would be left out without a word."""
    optim = dict(type='ScaledOptimWrapper', scale=2.0**10)
    message = stopped(run(tmp_path, BadLoss(2), optim=optim))
    assert message.startswith('iteration 2: loss_b is nan for 2.png, 3.png; ')


@pytest.mark.tries('an overflow in float16')
def test_overflows_without_end_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(finite, 'MAX_OVERFLOWS', 3)
    optim = dict(type='ScaledOptimWrapper', scale=2.0**127)
    message = stopped(run(tmp_path, epochs=3, optim=optim))
    assert message.startswith('iteration 3: gradients have overflowed in 3 steps in a row')


def test_a_rate_of_a_million(tmp_path):
    runner = run(
        tmp_path, epochs=30, optim=dict(optimizer=dict(type='SGD', lr=1e6, weight_decay=0.0))
    )
    message = stopped(runner)
    assert 'loss_a is ' in message or 'gradient norm is ' in message


@pytest.mark.tries('a loss or gradient norm')
def test_ranks_stop_at_the_same_step(tmp_path):
    """Only the second process meets NaN, in a term that leaves gradients finite."""
    for (message, steps), skipped in on_ranks(two_ranks, tmp_path):
        assert message.startswith('iteration 2: loss_b is nan for 5.png, 7.png; ')
        assert steps == 1
        assert skipped == ('', 1)
