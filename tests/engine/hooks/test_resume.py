"""An optimizer is resumed by the names of its parameters, or not at all."""

import copy
import random

import pytest
import torch
from hostile import touch
from small_run import Net, make_runner

from sparx_mm.checkpoint_io import trust_checkpoints
from sparx_mm.errors import UserError
from sparx_mm.state_dicts import SPARX

pytestmark = pytest.mark.stack


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Return a checkpoint after an epoch, and the weights after the next one."""
    folder = tmp_path_factory.mktemp('trained')
    torch.manual_seed(0)
    make_runner(folder / 'first').train()
    path = folder / 'first/epoch_1.pth'
    return torch.load(path, weights_only=False), resume(folder / 'second', path)


@pytest.fixture
def checkpoint(trained):
    return copy.deepcopy(trained[0])


@pytest.fixture
def file(tmp_path):

    def save(content):
        torch.save(content, tmp_path / 'file.pth')
        return tmp_path / 'file.pth'

    return save


def resume(folder, path, **kwargs):
    """Train the second epoch; its weights."""
    runner = make_runner(folder, epochs=2, resume=True, load_from=str(path), **kwargs)
    runner.train()
    assert runner.epoch == 2
    return runner.model.state_dict()


def parameters(checkpoint):
    """Names in the order of the saved optimizer."""
    groups = checkpoint['optimizer']['param_groups']
    return [name for group in groups for name in group['param_names']]


def shuffle(checkpoint):
    """Put groups, state and weights into another order."""
    count = len(parameters(checkpoint))
    return reorder(checkpoint, random.Random(0).sample(range(count), count))


def swap(checkpoint):
    """Exchange two parameters of the same shape."""
    names = parameters(checkpoint)
    first, second = (names.index(f'backbone.stages.2.layers.{i}.ffn.fc1.weight') for i in (0, 1))
    order = list(range(len(names)))
    order[first], order[second] = second, first
    return reorder(checkpoint, order)


def reorder(checkpoint, order):
    optimizer = checkpoint['optimizer']
    names, groups = parameters(checkpoint), optimizer['param_groups']
    assert all(len(group['params']) == 1 for group in groups)
    optimizer['param_groups'] = [dict(groups[i], params=[n]) for n, i in enumerate(order)]
    optimizer['state'] = {n: optimizer['state'][i] for n, i in enumerate(order)}
    weights = checkpoint['state_dict']
    moved = [names[i] for i in order]
    rest = [name for name in weights if name not in names]
    checkpoint['state_dict'] = {n: weights[n] for n in moved + rest}
    for scheduler in checkpoint['param_schedulers']:
        for key in ('base_values', '_last_value'):
            values = scheduler[key]
            scheduler[key] = [values[i] for i in order] + values[len(order) :]
    return checkpoint


def unname(checkpoint):
    for group in checkpoint['optimizer']['param_groups']:
        group.pop('param_names')
    return checkpoint


def release(checkpoint):
    checkpoint['state_dict'] = SPARX.to_released(checkpoint['state_dict'], 'backbone.')
    return checkpoint


def same(weights, expected):
    return all(weights[name].equal(value) for name, value in expected.items())


def test_names_are_saved(checkpoint):
    names = [name for name, _ in Net().named_parameters()]
    assert parameters(checkpoint) == names
    state = checkpoint['optimizer']['state']
    shapes = {n: p.shape for n, p in Net().named_parameters()}
    for i, name in enumerate(names):
        assert state[i]['exp_avg'].shape == shapes[name]


@pytest.mark.parametrize(
    'change',
    [
        unname,
        swap,
        shuffle,
        release,
        lambda c: release(shuffle(c)),
        lambda c: unname(shuffle(c)),
        lambda c: release(unname(shuffle(c))),
    ],
)
def test_any_order_continues_alike(trained, checkpoint, file, tmp_path, change):
    path = file(change(checkpoint))
    assert same(resume(tmp_path / 'run', path), trained[1])


def test_mmengine_alone_mixes_them_up(trained, checkpoint, file, tmp_path):
    # the reason for all this: nothing fails, and the weights are others
    path = file(swap(checkpoint))
    weights = resume(tmp_path / 'run', path, hooks={})
    assert not same(weights, trained[1])


def test_a_group_of_all_gives_each_its_state(trained, checkpoint, file, tmp_path):
    # saved with one group, resumed with one for each parameter
    plain = dict(paramwise_cfg=None)
    torch.manual_seed(0)
    make_runner(tmp_path / 'a', optim=plain).train()
    path = tmp_path / 'a/epoch_1.pth'
    groups = torch.load(path, weights_only=False)['optimizer']['param_groups']
    assert len(groups) == 1
    expected = resume(tmp_path / 'b', path, optim=plain)
    multiplied = dict(paramwise_cfg=dict(custom_keys={'x': dict()}))
    assert same(resume(tmp_path / 'c', path, optim=multiplied), expected)


def without(key):

    def change(checkpoint):
        checkpoint.pop(key)
        return checkpoint

    return change


def another_head(checkpoint):
    for key, shape in (('weight', (5, 112)), ('bias', (5,))):
        name = f'head.{key}'
        checkpoint['state_dict'][name] = torch.zeros(shape)
        i = parameters(checkpoint).index(name)
        for moment in ('exp_avg', 'exp_avg_sq'):
            checkpoint['optimizer']['state'][i][moment] = torch.zeros(shape)
    return checkpoint


def another_layer(checkpoint):
    for group in checkpoint['optimizer']['param_groups']:
        if group['param_names'] == ['head.bias']:
            group['param_names'] = ['neck.bias']
    return checkpoint


def one_group_less(checkpoint):
    checkpoint['optimizer']['param_groups'].pop()
    return checkpoint


def pairs(checkpoint):
    groups = unname(checkpoint)['optimizer']['param_groups']
    first, second = groups[:2]
    first['params'] += second['params']
    groups.remove(second)
    return checkpoint


def put(place, key, value):

    def change(checkpoint):
        checkpoint[place][key] = value
        return checkpoint

    return change


def nan_moment(checkpoint):
    i = parameters(checkpoint).index('head.bias')
    checkpoint['optimizer']['state'][i]['exp_avg'][0] = float('nan')
    return checkpoint


@pytest.mark.parametrize(
    'change,message',
    [
        (without('optimizer'), 'it has no optimizer'),
        (without('message_hub'), 'it has no message_hub'),
        (lambda c: dict(c, meta={}, message_hub={}), 'it has no meta, message_hub'),
        (lambda c: release(c)['state_dict'], 'no meta, message_hub, optimizer'),
        (put('optimizer', 'state', {}), 'its optimizer has no state'),
        (nan_moment, 'exp_avg of head.bias has NaN'),
        (without('param_schedulers'), 'it has 0 schedules of rates, this run 1'),
        (lambda c: dict(c, param_schedulers=[*c['param_schedulers']] * 2), 'it has 2 schedules'),
        (lambda c: dict(c, param_schedulers=[5]), 'not what a Runner writes'),
        (lambda c: dict(c, optimizer={}), 'not what a Runner writes'),
        (put('optimizer', 'param_groups', 5), 'not what a Runner writes'),
        (put('optimizer', 'state', 5), 'not what a Runner writes'),
        (put('meta', 'iter', 'two'), "its iter is 'two'"),
        (put('meta', 'epoch', -5), 'its epoch is -5'),
        (put('meta', 'seed', 'x'), "its seed is 'x'"),
        (put('message_hub', 'log_scalars', 5), 'its message_hub is not that of'),
        (another_head, 'exp_avg of head.weight has the shape (5, 112), the parameter (3, 112)'),
        (another_layer, 'parameters, and '),
        (one_group_less, 'it has no state for head.bias'),
        (pairs, 'groups of parameters without their names'),
        (lambda c: one_group_less(unname(c)), 'of its weights are parameters here'),
    ],
)
def test_refusals_offer_load_from(checkpoint, file, tmp_path, change, message):
    path = file(change(checkpoint))
    with pytest.raises(UserError) as error:
        resume(tmp_path / 'run', path)
    text = str(error.value)
    assert text.startswith(f'{path} cannot be resumed: ')
    assert message in text and '\n' not in text
    assert f'--cfg-options load_from={path}' in text


def test_load_from_takes_the_weights_alone(checkpoint, file, tmp_path):
    path = file(without('optimizer')(release(checkpoint)))
    runner = make_runner(tmp_path / 'run', load_from=str(path))
    runner.load_or_resume()
    saved = torch.load(path, weights_only=False)
    expected = saved['state_dict']['head.weight']
    assert runner.model.head.weight.equal(expected)


@pytest.mark.parametrize('key', ['cfg', 'config'])
def test_config_text_is_not_evaluated(checkpoint, file, tmp_path, key):
    trace = tmp_path / 'trace'
    checkpoint['meta'][key] = touch(trace)
    path = file(checkpoint)
    resume(tmp_path / 'safe', path)
    assert not trace.exists()
    # as mmengine does with one of the two
    with trust_checkpoints():
        resume(tmp_path / 'trusting', path)
    assert trace.exists() == (key == 'config')


def test_plain_sgd_has_no_state(tmp_path):
    sgd = dict(optimizer=dict(type='SGD', lr=0.01, weight_decay=0.05))
    make_runner(tmp_path / 'a', optim=sgd).train()
    resume(tmp_path / 'b', tmp_path / 'a/epoch_1.pth', optim=sgd)


def test_other_rates_are_said(checkpoint, file, tmp_path):
    for lr, warned in ((0.01, False), (0.02, True)):
        folder = tmp_path / f'{lr}'
        adam = dict(type='AdamW', lr=lr, weight_decay=0.05)
        resume(folder, file(checkpoint), optim=dict(optimizer=adam))
        (log,) = folder.glob('*/*.log')
        text = 'weight decays of the checkpoint are not those of the config; resuming takes those'
        assert (text in log.read_text()) == warned


@pytest.mark.tries('resumed with another schedule')
def test_another_schedule(tmp_path):
    steps = dict(type='MultiStepLR', milestones=[5], gamma=0.1, end=6)
    make_runner(tmp_path / 'a', param_scheduler=[steps]).train()
    path = tmp_path / 'a/epoch_1.pth'
    text = (
        'the schedules of rates of the checkpoint are not those of the config '
        '(MultiStepLR.end: 6, not 4; MultiStepLR.milestones: [5], not [3]); resuming takes those'
    )
    other = dict(steps, milestones=[3], end=4)
    for name, schedule in (('same', [steps]), ('other', other)):
        resume(tmp_path / name, path, param_scheduler=schedule)
        (log,) = (tmp_path / name).glob('*/*.log')
        assert log.read_text().count(text) == (name == 'other')
        assert log.read_text().count('schedules of rates') == (name == 'other')
    with pytest.raises(UserError, match='is no CosineAnnealingLR: it has gamma, milestones and no'):
        resume(tmp_path / 'c', path, param_scheduler=dict(type='CosineAnnealingLR', T_max=6))


@pytest.fixture
def scored(trained, tmp_path):
    """Resume a run whose best checkpoint, as it says, lies somewhere."""

    def scored(best):
        checkpoint = copy.deepcopy(trained[0])
        info = checkpoint['message_hub']['runtime_info']
        info.update(best_ckpt=str(best), keep_ckpt_ids=[1, '../x'])
        folder = tmp_path / 'run'
        folder.mkdir(exist_ok=True)
        torch.save(checkpoint, folder / 'epoch_1.pth')
        runner = make_runner(folder, epochs=2, resume=True, load_from=str(folder / 'epoch_1.pth'))
        runner.train()
        return runner.message_hub.runtime_info

    return scored


def test_the_best_of_this_run_is_known(scored, tmp_path):
    best = tmp_path / 'run/best.pth'
    assert scored(best)['best_ckpt'] == str(best)


@pytest.mark.parametrize('place', ['other/best.pth', 'other', 'run', '.'])
def test_nothing_of_another_run_is_deleted(scored, tmp_path, place):
    # mmengine removes what it takes for an older best, files and folders
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other/best.pth').write_text('kept')
    info = scored(tmp_path / place)
    assert 'best_ckpt' not in info
    assert info['keep_ckpt_ids'] == [1]
