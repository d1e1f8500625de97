"""Several processes through the scripts, as a user starts them."""

import json
import os
import subprocess
import sys

import mmengine
import pytest
import torch
from detection import ROOT, tiny_config
from mmengine.device import get_device
from tool_process import run_tool

DEMO = ROOT / 'configs/mmdet/mask_rcnn_sparx_demo_shapes.py'
ON_CPUS = pytest.mark.skipif(
    get_device() != 'cpu' and torch.cuda.device_count() < 2,
    reason='two processes need two GPUs, or none',
)


def _environment(**variables):
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(('RANK', 'LOCAL_RANK', 'MASTER_', 'PORT'))
    }
    return {**kept, 'PYTHON': sys.executable, **variables}


def _run_script(name, *args, folder, status=0, **variables):
    """Run a script of tools/ and return what it printed, errors last."""
    command = [str(ROOT / f'tools/{name}.sh'), *map(str, args)]
    done = subprocess.run(
        command, cwd=folder, env=_environment(**variables), capture_output=True, text=True
    )
    output = done.stdout + done.stderr
    assert done.returncode == status, output
    return output


@pytest.fixture(scope='module')
def config(shapes, tmp_path_factory):
    """Write the demo's config, for two steps an epoch of two processes."""
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    cfg = tiny_config(
        DEMO,
        shapes,
        train_dataloader__batch_size=1,
        train_cfg__max_epochs=1,
        train_cfg__val_interval=1,
        default_hooks__logger__interval=1,
        # so that every image has boxes to compare
        model__test_cfg__rcnn__score_thr=0.0,
        # which no CPU runs in a process group
        model__backbone__norm_cfg=dict(type='SyncBN'),
    )
    assert cfg.sync_bn == 'torch'
    cfg.dump(path)
    return path


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory):
    """Train in two processes; return their folder and what they printed."""
    folder = tmp_path_factory.mktemp('run')
    log = _run_script('dist_train', config, 2, '--work-dir', 'out', folder=folder)
    return folder, log


def _metrics(folder):
    (file,) = folder.glob('*/*.json')
    return json.loads(file.read_text())


@ON_CPUS
def test_two_processes_train_and_save_once(trained):
    folder, log = trained
    # 4 images: each process has two of them, in batches of one
    assert log.count('Epoch(train) [1][2/2]') == 1
    assert log.count('Saving checkpoint at 1 epochs') == 1
    assert 'destroy_process_group' not in log
    # DDP's word for gradients that it has to copy
    assert 'Grad strides' not in log
    assert 'Traceback' not in log
    checkpoint = torch.load(folder / 'out/epoch_1.pth', weights_only=False, map_location='cpu')
    assert checkpoint['meta']['iter'] == 2
    # a checkpoint of one process has the same names
    assert not any(key.startswith('module.') for key in checkpoint['state_dict'])
    # one folder for the log of the run
    assert len([path for path in (folder / 'out').iterdir() if path.is_dir()]) == 1


@ON_CPUS
def test_two_processes_resume_in_bfloat16(trained, config):
    folder, _ = trained
    log = _run_script(
        'dist_train',
        config,
        2,
        '--work-dir',
        'out',
        '--resume',
        # the weights are float32 there too
        '--amp-dtype',
        'bfloat16',
        '--cfg-options',
        'train_cfg.max_epochs=2',
        folder=folder,
    )
    assert 'Epoch(train) [2][1/2]' in log
    assert 'Epoch(train) [1]' not in log
    assert "type='BFloat16OptimWrapper'" in log
    assert 'Grad strides' not in log
    checkpoint = torch.load(folder / 'out/epoch_2.pth', weights_only=False, map_location='cpu')
    assert checkpoint['meta']['iter'] == 4


@ON_CPUS
def test_two_processes_evaluate_as_one(trained, config):
    folder, _ = trained
    # 3 images: one of the processes is given an image twice
    _run_script(
        'dist_test',
        config,
        'out/epoch_1.pth',
        2,
        '--work-dir',
        'two',
        '--out',
        'two.pkl',
        folder=folder,
    )
    run_tool(
        'test', config, 'out/epoch_1.pth', '--work-dir', 'one', '--out', 'one.pkl', folder=folder
    )
    one, two = (_metrics(folder / name) for name in ('one', 'two'))
    metrics = {key for key in one if key.startswith('coco/')}
    assert len(metrics) == 12
    assert {k: one[k] for k in metrics} == {k: two[k] for k in metrics}
    # metrics of a network that found nothing would be alike too
    one, two = (mmengine.load(folder / f'{name}.pkl') for name in ('one', 'two'))
    assert [image['img_id'] for image in one] == [image['img_id'] for image in two]
    for a, b in zip(one, two):
        assert len(a['pred_instances']['scores']) > 0
        for key in ('bboxes', 'scores', 'labels'):
            assert a['pred_instances'][key].equal(b['pred_instances'][key])


# of every start of several processes, as tests/run/test_torchrun.py tries in small
@pytest.mark.faults
@pytest.mark.tries('one of several processes meets an error')
@ON_CPUS
def test_a_mistake_is_one_line_once(config, tmp_path):
    output = _run_script(
        'dist_train',
        config,
        2,
        '--cfg-options',
        'train_dataloader.dataset.ann_file=none.json',
        folder=tmp_path,
        status=1,
    )
    (line,) = [li for li in output.splitlines() if 'error' in li]
    assert line.startswith('error: data set not found: ')
    assert output.splitlines()[-1] == line


@pytest.mark.parametrize(
    'script,args,message',
    [
        (
            'dist_train',
            [],
            '2 arguments are needed, got 0; usage: {path} CONFIG GPUS [options of train.py]',
        ),
        ('dist_train', ['none.py'], 'usage: {path} CONFIG GPUS'),
        ('dist_train', ['none.py', 2], 'no config file none.py'),
        ('dist_train', [DEMO, 0], "GPUS must be a number from 1, got '0'"),
        ('dist_train', [DEMO, '--amp'], "GPUS must be a number from 1, got '--"),
        ('dist_test', [DEMO, 2], 'usage: {path} CONFIG CHECKPOINT GPUS'),
        ('dist_test', ['none.py', 'a.pth', 2], 'no config file none.py'),
        ('slurm_train', ['part', 'job', DEMO], 'usage: {path} PARTITION JOB_NAME CONFIG WORK_DIR'),
        ('slurm_train', ['part', 'job', 'none.py', 'out'], 'no config file none'),
        ('slurm_test', ['part', 'job', DEMO], 'usage: {path} PARTITION JOB_NAME CONFIG CHECKPOINT'),
        ('slurm_test', ['part', 'job', 'none.py', 'a.pth'], 'no config file none'),
    ],
)
def test_mistakes_of_the_scripts(tmp_path, script, args, message):
    output = _run_script(script, *args, folder=tmp_path, status=2)
    (line,) = output.splitlines()
    assert line.startswith('error: ')
    assert message.format(path=ROOT / f'tools/{script}.sh') in line


@pytest.fixture
def stand_in(tmp_path):
    """Return a function that makes a program which prints its arguments."""

    def make(name):
        path = tmp_path / 'bin' / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        path.chmod(0o755)
        return path

    return make


def test_what_srun_is_told(stand_in, tmp_path):
    path = f'{stand_in("srun").parent}:{os.environ["PATH"]}'
    given = ('part', 'job', DEMO, 'a folder', '--cfg-options', 'a=[1, 2]')
    variables = dict(
        GPUS='16', GPUS_PER_NODE='4', CPUS_PER_TASK='3', SRUN_ARGS='--time=1 --quiet', PYTHON='py'
    )
    output = _run_script('slurm_train', *given, folder=tmp_path, PATH=path, **variables)
    assert output.splitlines() == [
        '-p',
        'part',
        '--job-name=job',
        '--gres=gpu:4',
        '--ntasks=16',
        '--ntasks-per-node=4',
        '--cpus-per-task=3',
        '--kill-on-bad-exit=1',
        '--time=1',
        '--quiet',
        'py',
        '-u',
        str(ROOT / 'tools/train.py'),
        str(DEMO),
        '--work-dir=a folder',
        '--launcher=slurm',
        '--cfg-options',
        'a=[1, 2]',
    ]
    tested = _run_script('slurm_test', *given, folder=tmp_path, PATH=path, **variables)
    wanted = output.replace('tools/train.py', 'tools/test.py').replace('--work-dir=', '')
    assert tested == wanted
    for gpus, per_node in ((None, 8), ('2', 2), ('16', 8)):
        variables = {} if gpus is None else dict(GPUS=gpus)
        output = _run_script('slurm_train', *given, folder=tmp_path, PATH=path, **variables)
        assert f'--ntasks={gpus or 8}\n' in output
        assert f'--ntasks-per-node={per_node}\n' in output


@pytest.mark.tries('the time limit of a Slurm job')
@pytest.mark.parametrize('status,requeued', [(138, True), (0, False), (1, False)])
def test_a_job_of_slurm_that_queues_itself_again(stand_in, tmp_path, status, requeued):
    stand_in('sbatch').write_text('#!/bin/sh\nprintf "%s\\n" "$@"\ncat > job.sh\n')
    stand_in('srun').write_text(f'#!/bin/sh\nprintf "%s\\n" "$@"\nexit {status}\n')
    stand_in('scontrol')
    path = f'{tmp_path / "bin"}:{os.environ["PATH"]}'
    variables = dict(REQUEUE='1', SAVE_SECONDS='60', SRUN_ARGS='--time=9', PYTHON='py', PATH=path)
    given = ('part', 'job', DEMO, 'a folder', '--cfg-options', 'a=[1, 2]')
    told = _run_script('slurm_train', *given, folder=tmp_path, **variables).splitlines()
    assert {'--requeue', '--signal=USR1@60', '--time=9', '--ntasks=8'} < set(told)
    assert '--output=a folder/slurm-%j.log' in told and (tmp_path / 'a folder').is_dir()
    job = subprocess.run(
        ['bash', 'job.sh'],
        cwd=tmp_path,
        env=_environment(PATH=path, SLURM_JOB_ID='7'),
        capture_output=True,
        text=True,
    )
    assert job.returncode == status
    options = ['--work-dir=a folder', '--launcher=slurm', '--cfg-options', 'a=[1, 2]', '--resume']
    start = ['--kill-on-bad-exit=1', 'py', '-u', str(ROOT / 'tools/train.py'), str(DEMO)]
    assert job.stdout.splitlines() == start + options + ['requeue', '7'] * requeued


@pytest.mark.parametrize(
    'variables,option,message',
    [
        (dict(REQUEUE='yes'), '--amp', "REQUEUE must be 0 or 1, got 'yes'"),
        (dict(REQUEUE='1', SAVE_SECONDS='2m'), '--amp', 'SAVE_SECONDS must be a number'),
        (dict(REQUEUE='1'), '--resume=a.pth', 'give --cfg-options load_from=FILE'),
    ],
)
def test_mistakes_with_requeue(stand_in, tmp_path, variables, option, message):
    path = f'{stand_in("sbatch").parent}:{os.environ["PATH"]}'
    given = ('part', 'job', DEMO, 'out', option)
    output = _run_script('slurm_train', *given, folder=tmp_path, status=2, PATH=path, **variables)
    (line,) = output.splitlines()
    assert line.startswith('error: ') and message in line


def test_slurm_without_srun(tmp_path):
    # nothing but the shell's own commands
    for name in ('bash', 'dirname', 'env'):
        (tmp_path / name).symlink_to(f'/usr/bin/{name}')
    output = _run_script(
        'slurm_train', 'part', 'job', DEMO, 'out', folder=tmp_path, status=2, PATH=str(tmp_path)
    )
    assert output == 'error: srun is not there: this machine has no Slurm\n'


@pytest.mark.parametrize(
    'variables,place',
    [
        ({}, ['--standalone', '--local-addr=127.0.0.1']),
        (
            dict(PORT='29512'),
            ['--nnodes=1', '--node-rank=0', '--master-addr=127.0.0.1', '--master-port=29512'],
        ),
        (
            dict(NNODES='3', NODE_RANK='2', MASTER_ADDR='first', PORT='29512'),
            ['--nnodes=3', '--node-rank=2', '--master-addr=first', '--master-port=29512'],
        ),
        (
            dict(NNODES='3', NODE_RANK='2', MASTER_ADDR='first'),
            ['--nnodes=3', '--node-rank=2', '--master-addr=first', '--master-port=29500'],
        ),
    ],
)
def test_what_torchrun_is_told(stand_in, tmp_path, variables, place):
    output = _run_script(
        'dist_test',
        DEMO,
        'a b.pth',
        4,
        '--out',
        'c.pkl',
        folder=tmp_path,
        **variables,
        PYTHON=str(stand_in('py')),
    )
    assert output.splitlines() == [
        '-m',
        'sparx_mm.run.torchrun',
        *place,
        '--nproc-per-node=4',
        str(ROOT / 'tools/test.py'),
        str(DEMO),
        'a b.pth',
        '--launcher',
        'pytorch',
        '--out',
        'c.pkl',
    ]
