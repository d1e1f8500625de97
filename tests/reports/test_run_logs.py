"""Curves read from the JSON logs of trainings."""

import pytest
from run_log_files import evaluation, step, write_log
from small_run import Head, Images, make_runner
from torch.utils.data import DataLoader

from sparx_mm.errors import UserError
from sparx_mm.reports import choose_keys, draw_curves, name_runs, read_run


def test_a_resumed_run_is_one_curve(tmp_path):
    """The first start was killed after the save at iteration 4, and evaluated after 2 and 4."""
    write_log(
        tmp_path,
        '20260101_000000',
        [
            step(2, loss=5.0),
            evaluation(1, **{'coco/bbox_mAP': 0.1}),
            step(4, loss=4.0),
            evaluation(2, **{'coco/bbox_mAP': 0.2}),
            step(6, loss=9.0),
            evaluation(3, **{'coco/bbox_mAP': 0.9}),
        ],
    )
    # after a failed resume that logged nothing
    (tmp_path / '20260101_000001/vis_data').mkdir(parents=True)
    write_log(tmp_path, '20260102_000000', [step(6, loss=3.0), step(8, loss=2.0)])
    run = read_run(str(tmp_path))
    assert run.curves['loss'] == [(2, 5.0), (4, 4.0), (6, 3.0), (8, 2.0)]
    assert run.curves['coco/bbox_mAP'] == [(2, 0.1), (4, 0.2)]
    assert run.metrics == ('coco/bbox_mAP',)
    assert [at for at, _ in run.curves['time']] == [2, 4, 6, 8]


def test_a_run_started_anew_in_its_folder_is_the_new_one(tmp_path):
    write_log(tmp_path, '20260101_000000', [step(50, loss=1.0), step(100, loss=0.5)])
    write_log(tmp_path, '20260102_000000', [step(50, loss=2.0)])
    assert read_run(str(tmp_path)).curves['loss'] == [(50, 2.0)]
    # at another interval
    write_log(tmp_path, '20260103_000000', [step(80, loss=3.0), step(160, loss=2.5)])
    assert read_run(str(tmp_path)).curves['loss'] == [(80, 3.0), (160, 2.5)]


def test_evaluations_of_segmentors_are_at_their_iteration(tmp_path):
    log = write_log(tmp_path, 'a', [step(50, loss=1.0), evaluation(80, mIoU=40.0)])
    assert read_run(str(log)).curves['mIoU'] == [(80, 40.0)]


def test_the_last_line_of_a_killed_run_may_be_cut_off(tmp_path):
    log = write_log(tmp_path, 'a', [step(50, loss=1.0)])
    log.write_text(log.read_text() + '{"lr": 0.1, "lo')
    assert read_run(str(tmp_path)).curves['loss'] == [(50, 1.0)]


@pytest.mark.parametrize(
    'content,message',
    [
        ('', 'has no curves'),
        ('nonsense', 'line 1 is not JSON: is it a log'),
        ('{"loss": 1, "iter": 1}\nnonsense\n{"loss": 1, "iter": 1}', 'line 2 is not JSON'),
        ('[1]', r'line 1 is no record of a log: \[1\]'),
        # what a test writes
        ('{"coco/bbox_mAP": 0.1}', 'has no curves'),
    ],
)
def test_what_is_no_log_is_one_line(tmp_path, content, message):
    (tmp_path / 'a.json').write_text(content)
    with pytest.raises(UserError, match=message) as error:
        read_run(str(tmp_path / 'a.json'))
    assert '\n' not in str(error.value)


def test_a_folder_without_a_log_is_named(tmp_path):
    with pytest.raises(UserError, match=f'no log of a training in {tmp_path}/none: give'):
        read_run(str(tmp_path / 'none'))
    (tmp_path / 'binary.json').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(UserError, match='binary.json cannot be read'):
        read_run(str(tmp_path / 'binary.json'))


def test_runs_are_named_by_what_differs(tmp_path):
    assert name_runs(['runs/a/det', 'runs/b/det/']) == ['a/det', 'b/det']
    assert name_runs(['runs/a', 'runs/b']) == ['a', 'b']
    with pytest.raises(UserError, match='given twice'):
        name_runs(['runs/a', 'runs/a'])


def test_a_panel_for_each_curve_and_a_line_for_each_run(tmp_path):
    write_log(tmp_path / 'a', '1', [step(2, loss=5.0), evaluation(1, **{'coco/bbox_mAP': 0.1})])
    write_log(tmp_path / 'b', '1', [step(2, loss=4.0, acc=1.0), step(4, loss=3.0)])
    runs = [read_run(str(tmp_path / name), name) for name in 'ab']
    assert choose_keys(runs) == ['loss', 'coco/bbox_mAP']
    assert choose_keys(runs, ['bbox_mAP', 'acc']) == ['coco/bbox_mAP', 'acc']
    with pytest.raises(UserError, match='no run has a curve mAP; there are acc, coco/bbox_mAP, '):
        choose_keys(runs, ['mAP'])
    figure = draw_curves(runs, ['loss', 'coco/bbox_mAP', 'acc'])
    drawn = {
        axes.get_title(): [line.get_xydata().tolist() for line in axes.lines]
        for axes in figure.axes
    }
    assert drawn == {
        'loss': [[[2, 5]], [[2, 4], [4, 3]]],
        'coco/bbox_mAP': [[[2, 0.1]]],
        'acc': [[[2, 1]]],
    }
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ['a', 'b']


def test_what_mmengine_writes(tmp_path):
    """An epoch of two iterations, then two more after a resume."""

    def train(epochs, **options):
        loader = DataLoader(Images())
        runner = make_runner(
            tmp_path / 'run',
            epochs,
            model=Head(),
            hooks={},
            val_dataloader=loader,
            val_evaluator=[dict(type='DumpLabelMaps', out_dir='')],
            val_cfg=dict(),
            **options,
        )
        runner.val_loop.evaluator = _Constant()
        runner.train()

    train(1)
    train(2, resume=True)
    run = read_run(str(tmp_path / 'run'))
    assert [at for at, _ in run.curves['loss']] == [1, 2, 3, 4]
    assert run.curves['coco/bbox_mAP'] == [(2, 0.5), (4, 0.5)]


class _Constant:
    """Evaluator that finds the same in all images."""

    def process(self, **kwargs):
        pass

    def evaluate(self, size):
        return {'coco/bbox_mAP': 0.5}
