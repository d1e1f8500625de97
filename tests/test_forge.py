"""Workflows, forms and templates of the forge name only what is there."""

import re
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml
from machine import SUPPORTED
from make_env import FOLDERS

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / '.github/workflows').glob('*.yml'))
ACTION = ROOT / '.github/actions/environment/action.yml'
FORMS = sorted(
    path for path in (ROOT / '.github/ISSUE_TEMPLATE').glob('*.yml') if path.stem != 'config'
)
VERSIONS = ['.'.join(map(str, version)) for version in SUPPORTED]


def read(path):
    return yaml.safe_load(path.read_text())


def jobs():
    for path in WORKFLOWS:
        yield from read(path)['jobs'].items()


def matrix(name):
    return dict(jobs())[name]['strategy']['matrix']['python']


def commands(job):
    return '\n'.join(step['run'] for step in job['steps'] if 'run' in step)


def test_make_targets_exist():
    run = {name: re.findall(r'^make ([\w-]+)', commands(job), re.M) for name, job in jobs()}
    rules = re.findall(r'^([\w-]+):.*##', (ROOT / 'Makefile').read_text(), re.M)
    assert {target for targets in run.values() for target in targets} <= set(rules)
    assert {name: run[name] for name in ('lint', 'test', 'docs')} == {
        name: [name] for name in ('lint', 'test', 'docs')
    }


def test_every_job_ends_and_pins_its_machine():
    for name, job in jobs():
        assert job['runs-on'] == 'ubuntu-24.04' and job['timeout-minutes'] <= 240, name
        # `latest` and branches change under our feet
        actions = [step['uses'] for step in job['steps'] if 'uses' in step]
        assert actions and all(a.startswith('./') or re.search(r'@v\d+$', a) for a in actions)
    assert all(read(path)['permissions'] == {'contents': 'read'} for path in WORKFLOWS)


def test_every_python_of_set_up_is_tested():
    assert matrix('test') == VERSIONS
    action = read(ACTION)
    (setup,) = (step for step in action['runs']['steps'] if 'run' in step)
    # set-up takes another Python in place of one that it does not support, unless it is named
    assert setup['env'] == {'PYTHON': 'python${{ inputs.python }}'}
    assert action['inputs']['python']['default'] in VERSIONS


def test_a_wheel_is_installed_on_every_python_that_it_claims():
    settings = ConfigParser()
    settings.read(ROOT / 'setup.cfg')
    classifiers = settings['metadata']['classifiers']
    assert matrix('wheel') == re.findall(r'Python :: (3\.\d+)', classifiers)
    run = commands(dict(jobs())['wheel'])
    # an entry of the package's data, and the command that is installed beside it
    for used in ('empty/bin/sparx-mm info', "sparx_mm.config_path('mmdet/"):
        assert used in run


def test_jobs_that_make_an_environment_share_its_steps():
    for name, job in jobs():
        steps = [
            step for step in job['steps'] if step.get('uses') == './.github/actions/environment'
        ]
        assert len(steps) == ('make ' in commands(job)), name
        for step in steps:
            inputs = step.get('with', {})
            assert set(inputs) <= set(read(ACTION)['inputs'])
            assert inputs.get('stack', 'onedl') in FOLDERS


def test_the_cache_of_the_wheel_is_that_of_set_up():
    steps = read(ACTION)['runs']['steps']
    (cache,) = (step['with'] for step in steps if step.get('uses', '').startswith('actions/cache'))
    source = (ROOT / 'scripts/mmcv_wheel.py').read_text()
    assert (
        cache['path'].startswith('~/.cache/') and f"'{cache['path'][len('~/.cache/') :]}'" in source
    )
    # a key of all that names the wheel or pins what it is made of
    files = re.findall(r"'([\w./]+)'", cache['key'])
    assert {'setup.cfg', 'scripts/mmcv_compile.py'} <= set(files)
    assert all((ROOT / name).is_file() for name in files)
    (setup,) = (step['run'] for step in steps if 'run' in step)
    assert setup.startswith('python scripts/make_env.py')


@pytest.mark.parametrize('path', FORMS, ids=lambda path: path.stem)
def test_forms_are_complete(path):
    form = read(path)
    assert {'name', 'description', 'labels', 'body'} <= set(form)
    fields = [field for field in form['body'] if field['type'] != 'markdown']
    names = [field['id'] for field in fields]
    assert len(set(names)) == len(names) and all(f['attributes']['label'] for f in fields)
    required = {f['id'] for f in fields if f.get('validations', {}).get('required')}
    assert required
    if path.stem == 'bug':
        # a command may have no config
        assert required == {'what', 'command', 'log', 'info'}
    if path.stem != 'model_request':
        assert 'python -m sparx_mm.info' in path.read_text()


def test_the_variable_that_a_bug_report_asks_for_exists():
    (name,) = re.findall(r'(\w+)=1', (ROOT / '.github/ISSUE_TEMPLATE/bug.yml').read_text())
    assert name in (ROOT / 'sparx_mm/errors.py').read_text()


def test_conduct_and_security_are_reported_in_the_same_private_place():
    for name in ('CODE_OF_CONDUCT.md', 'SECURITY.md'):
        text = ' '.join((ROOT / name).read_text().split())
        assert "repository's Security tab" in text and '@' not in text


def test_paths_in_contributing_exist():
    text = (ROOT / 'CONTRIBUTING.md').read_text()
    named = re.findall(
        r'`((?:\.ci|\.github|benchmarks|configs|docs|kernels|scripts|sparx_mm|tests|tools)/[\w./-]*)`',
        text,
    )
    missing = [name for name in named if not (ROOT / name).exists()]
    assert len(named) > 30 and not missing
