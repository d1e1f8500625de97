"""What a run has on the disk at each moment, and how it ends because of a signal."""

import multiprocessing
import os
import resource
import signal
import subprocess
import time

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from noisy_run import Noisy, make_noisy
from torch.utils.data import DataLoader

from sparx_mm.checkpoint_io import WriteError, folder_lock, read_checkpoint
from sparx_mm.engine.saving.stop_signals import StopSignals, received_signal, shield_workers
from sparx_mm.errors import UserError

pytestmark = pytest.mark.stack
LATER = [pytest.mark.faults, pytest.mark.tries('SIGTERM, SIGUSR1')]


@pytest.fixture(autouse=True)
def heard_ctrl_c():
    """Listen to Ctrl-C as in a terminal: a shell's job in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def files(folder):
    return sorted(path.name for path in folder.glob('*.pth'))


def pointer(folder):
    return (folder / 'last_checkpoint').read_text()


def log_of(folder):
    return ''.join(path.read_text() for path in folder.glob('*/*.log'))


@pytest.fixture
def history(tmp_path, monkeypatch):
    """List the checkpoints that are there whenever a file is written or removed."""
    seen, folder = [], tmp_path / 'run'

    def watched(call):
        def wrapper(*args, **kwargs):
            seen.append(files(folder))
            result = call(*args, **kwargs)
            seen.append(files(folder))
            return result

        return wrapper

    for name in ('fsync', 'replace', 'remove'):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    return seen


def test_one_is_always_there(tmp_path, history):
    folder = tmp_path / 'run'
    make_noisy(folder, 3, checkpoint=dict(max_keep_ckpts=1)).train()
    assert files(folder) == ['epoch_3.pth']
    first = history.index(['epoch_1.pth'])
    assert all(history[first:])
    assert ['epoch_1.pth', 'epoch_2.pth'] in history
    assert pointer(folder) == str(folder / 'epoch_3.pth')


def test_an_older_best_one_goes_last(tmp_path, history, monkeypatch):
    folder = tmp_path / 'run'
    scores = iter([1.0, 2.0])
    monkeypatch.setattr('noisy_run.Drawn.compute_metrics', lambda *_: dict(acc=next(scores)))
    make_noisy(folder, 2, validate=True, checkpoint=dict(max_keep_ckpts=1)).train()
    assert files(folder) == ['best_acc_epoch_2.pth', 'epoch_2.pth']
    known = ('best_acc_epoch_1.pth', 'best_acc_epoch_2.pth')
    first = next(i for i, there in enumerate(history) if known[0] in there)
    assert all(set(known) & set(there) for there in history[first:])
    saved = torch.load(folder / 'epoch_2.pth', weights_only=False)
    assert saved['message_hub']['runtime_info']['best_ckpt'] == str(folder / known[1])


@pytest.mark.tries('SIGKILL while a checkpoint')
def test_what_a_kill_left_is_removed(tmp_path):
    folder = tmp_path / 'run'
    make_noisy(folder, 2).train()
    # killed with the second one written and the first one not yet removed
    saved = torch.load(folder / 'epoch_2.pth', weights_only=False)
    saved['message_hub']['runtime_info']['keep_ckpt_ids'] = [1, 2]
    torch.save(saved, folder / 'epoch_2.pth')
    stale = folder / '.epoch_3.pth.0123abcd.partial'
    stale.write_text('half')
    make_noisy(folder, 3, checkpoint=dict(max_keep_ckpts=1), resume=True).train()
    assert files(folder) == ['epoch_3.pth'] and not stale.exists()
    assert f'{stale} was never finished: removed' in log_of(folder)


@pytest.mark.tries('disk full')
def test_a_full_disk_names_the_last_checkpoint(tmp_path):
    folder = tmp_path / 'run'
    make_noisy(folder, 1).train()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (folder / 'epoch_1.pth').stat().st_size
    for options, last in ((dict(resume=True), folder / 'epoch_1.pth'), ({}, None)):
        place = folder if last else tmp_path / 'other'
        runner = make_noisy(place, 2, checkpoint=dict(max_keep_ckpts=1), **options)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
        try:
            with pytest.raises(WriteError) as error:
                runner.train()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        text = str(error.value)
        assert 'cannot be written (File too large); ' in text and '\n' not in text
        if last:
            assert text.endswith(f'{last} is whole: continue from it with --resume')
            assert files(folder) == ['epoch_1.pth'] and pointer(folder) == str(last)
        else:
            assert text.endswith('there is no checkpoint before it')
    make_noisy(folder, 2, resume=True).train()


def test_nothing_to_resume_is_not_a_resume(tmp_path):
    make_noisy(tmp_path, 1, resume=True).train()
    assert 'exactly' not in log_of(tmp_path)


def test_what_else_mmengine_saves_is_left_out(tmp_path, monkeypatch):
    """Configs in metainfo, methods of schedulers and functions of a program for its logs."""
    groups = ConfigDict(groups=dict(round=['circle']))
    monkeypatch.setattr(Noisy, 'metainfo', dict(classes=('a',), more=[groups]), raising=False)
    methods = dict(HistoryBuffer._statistics_methods, weighted=send_at)
    monkeypatch.setattr(HistoryBuffer, '_statistics_methods', methods)
    once = dict(type='OneCycleLR', eta_max=0.01, total_steps=8, by_epoch=False)
    make_noisy(tmp_path, 1, param_scheduler=once, validate=True).train()
    assert files(tmp_path) == ['best_acc_epoch_1.pth', 'epoch_1.pth']
    for name in files(tmp_path):
        saved = read_checkpoint(str(tmp_path / name))
        known = saved['message_hub']['runtime_info']['dataset_meta']
        assert saved['meta']['dataset_meta'] == known == dict(classes=('a',), more=[groups])
    rest = make_noisy(tmp_path, 2, param_scheduler=once, validate=True, resume=True)
    rest.train()
    assert rest.iter == 8
    losses = rest.message_hub.get_scalar('train/loss')
    assert len(losses.data[0]) == 8 and 'weighted' in losses._statistics_methods


def test_a_first_checkpoint_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Noisy, 'metainfo', dict(place=tmp_path), raising=False)
    make_noisy(tmp_path, 2).train()
    text = log_of(tmp_path)
    line = f'can be resumed or tested as it is: {tmp_path / "epoch_1.pth"} is refused'
    assert text.count(line) == text.count('PosixPath); if you trust') == 1


@pytest.mark.parametrize(
    'by_epoch,options,warned',
    [
        (False, dict(by_epoch=True), True),
        (False, dict(by_epoch=True, interval=-1), False),
        (False, dict(), False),
        (True, dict(), False),
    ],
)
def test_saving_by_epochs_in_a_loop_without(tmp_path, by_epoch, options, warned):
    make_noisy(tmp_path, 1, by_epoch, checkpoint=options).train()
    assert ('default_hooks.checkpoint.by_epoch=False' in log_of(tmp_path)) == warned


@pytest.mark.tries('a second run')
def test_a_second_run_in_the_folder(tmp_path, monkeypatch):
    def taken(*args):
        raise BlockingIOError

    monkeypatch.setattr(folder_lock.fcntl, 'lockf', taken)
    with pytest.raises(UserError, match='in use by another run'):
        make_noisy(tmp_path, 1).train()
    assert files(tmp_path) == []


def send_at(runner, when, *numbers):
    """Send signals to this process when a hook method has been called some times."""
    method, count = when
    hook = next(h for h in runner.hooks if type(h).__name__ == 'EMAHook')
    call, left = getattr(hook, method), [count]

    def sends(*args, **kwargs):
        left[0] -= 1
        if not left[0]:
            for number in numbers:
                os.kill(os.getpid(), number)
        return call(*args, **kwargs)

    setattr(hook, method, sends)


@pytest.mark.parametrize(
    'number,status,by_epoch',
    [
        pytest.param(signal.SIGUSR1, 138, True, marks=pytest.mark.tries('SIGTERM, SIGUSR1')),
        pytest.param(signal.SIGTERM, 143, False, marks=LATER),
        pytest.param(signal.SIGUSR1, 138, False, marks=LATER),
        pytest.param(
            signal.SIGINT, 130, True, marks=[pytest.mark.faults, pytest.mark.tries('Ctrl-C once')]
        ),
    ],
)
def test_a_signal_saves_and_resumes(tmp_path, number, status, by_epoch):
    length = 2 if by_epoch else 7
    every = dict(interval=99)
    whole = make_noisy(tmp_path / 'whole', length, by_epoch, checkpoint=every)
    whole.train()
    runner = make_noisy(tmp_path / 'run', length, by_epoch, checkpoint=every)
    send_at(runner, ('after_train_iter', 6), number)
    with pytest.raises(SystemExit) as stopped:
        runner.train()
    assert stopped.value.code == status
    assert files(tmp_path / 'run') == ['stopped.pth']
    assert torch.load(tmp_path / 'run/stopped.pth', weights_only=False)['meta']['iter'] == 6
    rest = make_noisy(tmp_path / 'run', length, by_epoch, checkpoint=every, resume=True)
    rest.train()
    state = whole.model.state_dict()
    assert all(value.equal(state[name]) for name, value in rest.model.state_dict().items())
    # replaced by the next checkpoint
    assert files(tmp_path / 'run') == files(tmp_path / 'whole')
    for one in (signal.SIGTERM, signal.SIGUSR1):
        assert signal.getsignal(one) == signal.SIG_DFL


def stop(runner, when, *numbers):
    """Train until signals end it; return the status."""
    send_at(runner, when, *numbers)
    with pytest.raises((SystemExit, KeyboardInterrupt)) as stopped:
        runner.train()
    return getattr(stopped.value, 'code', None)


@pytest.mark.tries('SIGTERM, SIGUSR1')
@pytest.mark.parametrize('every', [99, 2])
@pytest.mark.parametrize('at', [2, 4])
def test_a_stop_loses_no_validation_that_is_due(tmp_path, at, every):
    """Of a loop by iterations, which validates after each second one, and a save at it."""
    saves = dict(checkpoint=dict(interval=every), by_epoch=False, validate=True)
    seen = []

    def watch(runner):
        validate = runner.val_loop.run
        runner.val_loop.run = lambda: (seen.append(runner.iter), validate())[1]

    runner = make_noisy(tmp_path, 4, **saves)
    watch(runner)
    assert stop(runner, ('after_train_iter', at), signal.SIGTERM) == 143
    rest = make_noisy(tmp_path, 4, resume=True, **saves)
    watch(rest)
    rest.train()
    assert seen == [2, 4]


@pytest.mark.tries('a signal in an evaluation')
@pytest.mark.parametrize('by_epoch,length,every', [(True, 2, 1), (False, 4, 2)])
def test_a_stop_in_the_last_validation_loses_no_result(tmp_path, by_epoch, length, every):
    settings = dict(by_epoch=by_epoch, validate=True, checkpoint=dict(interval=every))
    whole = make_noisy(tmp_path / 'whole', length, **settings)
    whole.train()
    runner = make_noisy(tmp_path / 'run', length, **settings)
    assert stop(runner, ('before_val_epoch', 2), signal.SIGTERM) == 143
    rest = make_noisy(tmp_path / 'run', length, resume=True, **settings)
    rest.train()
    assert files(tmp_path / 'run') == files(tmp_path / 'whole')
    scores = [one.message_hub.get_scalar('val/acc').data[0].tolist() for one in (whole, rest)]
    assert scores[0] == scores[1] and len(scores[0]) == 2


def test_a_resumed_run_may_have_no_validation(tmp_path):
    runner = make_noisy(tmp_path, 4, by_epoch=False, validate=True)
    assert stop(runner, ('after_train_iter', 2), signal.SIGTERM) == 143
    rest = make_noisy(tmp_path, 4, by_epoch=False, resume=True)
    rest.train()
    assert rest.iter == 4


def test_a_stop_in_a_validation_on_a_full_disk(tmp_path, monkeypatch):
    runner = make_noisy(tmp_path, 1, validate=True)

    def full(*args):
        raise WriteError('no space')

    monkeypatch.setattr('sparx_mm.engine.hooks.checkpoint.save_checkpoint', full)
    assert stop(runner, ('before_val_epoch', 1), signal.SIGTERM) == 143
    assert 'no space: the resumed run will not repeat this validation' in log_of(tmp_path)
    make_noisy(tmp_path, 2, validate=True, resume=True).train()


@pytest.mark.tries('Ctrl-C twice')
def test_ctrl_c_twice_stops_at_once_after_another_signal(tmp_path):
    runner = make_noisy(tmp_path, 1)
    numbers = signal.SIGTERM, signal.SIGINT, signal.SIGINT
    assert stop(runner, ('after_train_iter', 2), *numbers) is None
    assert runner.iter == 1 and files(tmp_path) == []


@pytest.mark.tries('Ctrl-C twice')
def test_ctrl_c_twice_stops_at_once(tmp_path):
    runner = make_noisy(tmp_path, 1)
    assert stop(runner, ('after_train_iter', 2), signal.SIGINT, signal.SIGINT) is None
    assert runner.iter == 1 and files(tmp_path) == []
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


@pytest.mark.tries('SIGTERM')
def test_a_signal_at_the_interval_saves_once(tmp_path):
    runner = make_noisy(tmp_path, 1, checkpoint=dict(by_epoch=False, interval=2))
    assert stop(runner, ('after_train_iter', 2), signal.SIGTERM) == 143
    assert files(tmp_path) == ['iter_2.pth'] and pointer(tmp_path).endswith('iter_2.pth')
    # for errors that follow, when nobody listens any more
    assert received_signal() == signal.SIGTERM != signal.getsignal(signal.SIGTERM)


@pytest.mark.tries('resumed while gradients')
def test_gradients_are_accumulated_before_it_stops(tmp_path):
    optim = dict(type='OptimWrapper', accumulative_counts=3)
    runner = make_noisy(tmp_path, 2, optim=optim, checkpoint=dict(interval=99))
    assert stop(runner, ('after_train_iter', 2), signal.SIGTERM) == 143
    assert torch.load(tmp_path / 'stopped.pth', weights_only=False)['meta']['iter'] == 3


@pytest.mark.tries('a signal in an evaluation')
@pytest.mark.faults
def test_a_signal_in_a_validation(tmp_path):
    # nothing has been trained since the checkpoint: the run ends at once
    runner = make_noisy(tmp_path / 'a', 2, validate=True)
    assert stop(runner, ('before_val_epoch', 1), signal.SIGUSR1) == 138
    assert files(tmp_path / 'a') == ['epoch_1.pth']
    # something has: the validation ends, because the model holds its averaged weights
    whole = make_noisy(tmp_path / 'whole', 2, validate=True, checkpoint=dict(interval=2))
    whole.train()
    hook = dict(validate=True, checkpoint=dict(interval=2))
    runner = make_noisy(tmp_path / 'b', 2, **hook)
    # no checkpoint of the best either, which would save the run too
    runner.message_hub.update_info('best_score', 1e6)
    assert stop(runner, ('before_val_epoch', 1), signal.SIGUSR1) == 138
    assert files(tmp_path / 'b') == ['stopped.pth']
    assert torch.load(tmp_path / 'b/stopped.pth', weights_only=False)['meta']['iter'] == 4
    rest = make_noisy(tmp_path / 'b', 2, resume=True, **hook)
    rest.train()
    state = whole.model.state_dict()
    assert all(value.equal(state[name]) for name, value in rest.model.state_dict().items())


@pytest.mark.parametrize('method', ['before_train', 'after_train_iter'])
def test_a_run_that_fails_releases_signals_and_folder(tmp_path, monkeypatch, method):
    """Also while its error is kept, as in a notebook."""

    def fail(*args, **kwargs):
        raise RuntimeError('a trial of a search')

    runner = make_noisy(tmp_path, 1)
    hook = next(h for h in runner.hooks if type(h).__name__ == 'EMAHook')
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match='a trial') as kept:
        patch.setattr(hook, method, fail)
        runner.train()
    assert kept.value.__traceback__ is not None
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert not folder_lock._held


def test_a_handler_of_the_program_stays(tmp_path):
    received = []
    before = signal.signal(signal.SIGUSR1, lambda *args: received.append(args))
    try:
        runner = make_noisy(tmp_path, 1)
        send_at(runner, ('after_train_iter', 1), signal.SIGUSR1)
        runner.train()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(received) == 1 and files(tmp_path) == ['epoch_1.pth']


@pytest.mark.tries('a signal to one process')
@pytest.mark.faults
def test_workers_outlive_a_signal_to_the_group(tmp_path):
    """As torchrun and Ctrl-C send it."""
    runner = make_noisy(tmp_path, 2, workers=2, checkpoint=dict(interval=99))
    children = multiprocessing.active_children
    hook = next(h for h in runner.hooks if type(h).__name__ == 'EMAHook')
    update = hook.after_train_iter

    def sends(*args, **kwargs):
        pids = [str(child.pid) for child in children()]
        assert len(pids) == 2
        for name in ('TERM', 'INT'):
            # not from this process, which ends its workers by SIGTERM
            subprocess.run(['kill', f'-{name}', *pids], check=True)
        update(*args, **kwargs)

    hook.after_train_iter = sends
    runner.train()
    assert files(tmp_path) == ['epoch_2.pth']


def test_a_run_that_fails_ends_its_workers():
    """Its traceback keeps the loader alive, so that Python ends them by SIGTERM."""
    loader = DataLoader(range(8), num_workers=1)
    shield_workers(loader)
    batches = iter(loader)
    next(batches)
    (worker,) = multiprocessing.active_children()
    worker.terminate()
    worker.join(20)
    assert worker.exitcode == 0


@pytest.mark.tries('a metric that evaluates in a pool')
def test_a_pool_in_a_run_ends_when_it_is_told():
    """Metrics evaluate in pools, which end their workers by SIGTERM and wait for them."""
    signals = StopSignals()
    signals.listen()
    pool = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))
    try:
        pool.start()
        for number in (signal.SIGINT, signal.SIGUSR1):
            # to a whole group
            os.kill(pool.pid, number)
        pool.join(0.2)
        assert pool.is_alive()
        pool.terminate()
        pool.join(20)
        assert pool.exitcode == -signal.SIGTERM
    finally:
        pool.kill()
        signals.leave()
