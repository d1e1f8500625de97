"""Runs are kept and compared, and what lies within the spread is not ranked."""

import json

import pytest


@pytest.fixture
def learned(monkeypatch):
    import learned_inputs

    monkeypatch.setattr(learned_inputs, 'SIZE', 32)
    monkeypatch.setattr(learned_inputs, 'NUM_TRAIN', 4)
    monkeypatch.setattr(learned_inputs, 'NUM_VAL', 2)
    monkeypatch.setattr(learned_inputs, 'BATCH', 2)
    return learned_inputs


def test_networks_have_as_many_parameters(learned):
    counted = {name: learned.describe(name)['parameters'] for name in learned.NETWORKS}
    assert len(set(counted.values())) == 4
    assert max(counted.values()) < 1.03 * min(counted.values())


def test_finished_runs_are_not_run_again(learned, run, tmp_path, monkeypatch):
    file = tmp_path / 'runs/a.jsonl'
    options = ('--runs', file, '--steps', 2)
    networks = ('plain', 'weighted inputs')
    monkeypatch.setattr(learned, 'NETWORKS', {name: learned.NETWORKS[name] for name in networks})
    status, out, err = run(learned.main, *options, '--seeds', 3)
    assert status == 0, err
    runs = [json.loads(line) for line in file.read_text().splitlines()]
    assert [one['network'] for one in runs] == list(networks)
    assert all(0 <= one['miou'] <= 100 and one['seed'] == 3 for one in runs)
    # a line that a kill cut off
    with file.open('a') as stream:
        stream.write('{"network": "pl')
    trained = []
    monkeypatch.setattr(
        learned,
        'train_and_test',
        lambda name, seed, *others: trained.append((name, seed)) or dict(miou=1.0, seconds=2.0),
    )
    status, out, err = run(learned.main, *options, '--seeds', 3, 4)
    assert status == 0, err
    assert trained == [(name, 4) for name in networks]
    assert len(file.read_text().splitlines()) == 4
    # of another number of steps all are missing
    status, out, err = run(learned.main, '--runs', file, '--steps', 3, '--seeds', 3)
    assert status == 0 and len(trained) == 4
    assert '| plain | 342.5 |' in out


def test_what_lies_within_the_spread_is_not_ranked(learned):
    def runs(*scores):
        return [dict(miou=score, parameters=1, macs=1, seconds=1) for score in scores]

    text = learned.summarize(dict(a=runs(1, 5, 3), b=runs(2, 6, 4), c=runs(7, 9, 8), d=runs(99)))
    assert [line for line in text.splitlines() if line.startswith('| a |')][0].split(' | ')[
        3:5
    ] == [
        '3.00',
        '2.00',
    ]
    verdict = text.splitlines()[-1]
    assert verdict.startswith('c is better than a. c is better than b. All other')


@pytest.mark.parametrize('text', ['not JSON\n', '{"network": "plain"}\nno newline', '3\n'])
def test_files_that_are_no_runs(learned, run, tmp_path, text):
    file = tmp_path / 'a.jsonl'
    file.write_text(text)
    status, out, err = run(learned.main, '--runs', file)
    (line,) = err.splitlines()
    assert status == 1 and not out and f'--runs {file} has a line that is no run' in line
    assert file.read_text() == text


def test_a_file_that_cannot_be_written(learned, run):
    """Before the first run."""
    status, out, err = run(learned.main, '--runs', '/dev/null/a.jsonl')
    (line,) = err.splitlines()
    assert status == 1 and '--runs /dev/null/a.jsonl cannot be written' in line
