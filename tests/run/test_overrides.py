"""An override that changes nothing is one warning, which names the key that would."""

import pytest
from detection import CONFIG

from sparx_mm.run import load_config

TEXT = """
size = (64, 64)
width = 256
root = 'data/'
empty = dict()
unused = dict(a=1)
steps = [dict(type='Load'), dict(type='Resize', scale=size)]
train_dataloader = dict(dataset=dict(data_root=root, pipeline=steps), batch_size=width)
val_dataloader = dict(dataset=dict(type='Wrap', dataset=dict(data_root=root, pipeline=steps)))
model = dict(width=width, other=256, cfg=dict())
tta_pipeline = steps
"""


@pytest.fixture
def load(tmp_path, capsys):
    path = tmp_path / 'some.py'
    path.write_text(TEXT)

    def load(**options):
        load_config(str(path), {key.replace('__', '.'): v for key, v in options.items()})
        return capsys.readouterr().err

    return load


TRAIN = 'train_dataloader.dataset'
VAL = 'val_dataloader.dataset.dataset'


@pytest.mark.parametrize(
    'option,value,keys',
    [
        ('steps__1__scale', (32, 32), f'{TRAIN}.pipeline.1.scale, {VAL}.pipeline.1.scale, '
         'tta_pipeline.1.scale'),
        ('root', 'there/', f'{TRAIN}.data_root, {VAL}.data_root'),
        ('size', (32, 32), f'{TRAIN}.pipeline.1.scale, {VAL}.pipeline.1.scale, '
         'tta_pipeline.1.scale'),
        # by its name alone: other numbers are the same by chance
        ('width', 128, 'model.width'),
    ],
)  # fmt: skip
def test_variables(load, option, value, keys):
    name = option.partition('__')[0]
    assert load(**{option: value}) == (
        f'warning: {option.replace("__", ".")} changes nothing, because what uses {name} has a '
        f'copy of its own: give {keys}\n'
    )


def test_what_changes_something(load):
    assert not load(model__width=128)
    assert not load(tta_pipeline__1__scale=(32, 32))
    assert not load(empty=dict(a=1))
    assert not load(unused__a=2)
    assert not load(skip_broken=True)
    assert not load(param_scheduler=None)
    # both are given
    assert not load(width=128, model__width=128)


@pytest.mark.parametrize(
    'option,known',
    [
        ('optim_wraper__optimizer__lr', 'optim_wrapper'),
        ('stepz__1__scale', 'steps'),
        ('optimizer__lr', 'optim_wrapper.optimizer'),
        ('data__samples_per_gpu', 'train_dataloader'),
        ('total_epochs', 'train_cfg.max_epochs'),
        ('resume_from', '--resume'),
        ('zork', None),
    ],
)
def test_keys_that_a_config_has_not(load, option, known):
    name = option.partition('__')[0]
    line = load(**{option: 3})
    assert line.startswith(f'warning: {option.replace("__", ".")} changes nothing, unless code')
    end = f'; did you mean {known}?' if known else ''
    assert line.endswith(f'the config has no {name}{end}\n')


def test_the_shipped_configs(capsys):
    load_config(str(CONFIG), {'train_pipeline.2.scale': (32, 32), 'load_from': 'a.pth'})
    assert 'give train_dataloader.dataset.pipeline.2.scale\n' in capsys.readouterr().err
