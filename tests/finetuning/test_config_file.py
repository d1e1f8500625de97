"""The config that is written reads back as it was."""

import pytest
from mmengine.config import Config

from sparx_mm.finetuning.config_file import WIDTH, format_config, format_value, write_config

CLASSES = tuple(f'a {"long " * (i % 4)}name, "{i}"' for i in range(40))
VALUE = dict(
    lr=1e-4,
    classes=CLASSES,
    empty=[],
    one=(1,),
    steps=[dict(scale=(1333, 800), type='Resize'), [dict(type='Flip', prob=0.5)]],
    keys={'mixer.D': dict(decay_mult=0.0), 'A_log': None},
    text="it's\n\\",
)


def test_values_read_back(tmp_path):
    text = format_value(VALUE)
    assert eval(text) == VALUE
    assert max(map(len, text.splitlines())) <= WIDTH
    # a type is the first of its part
    assert "dict(type='Resize', scale=(1333, 800))" in text


def test_a_config_reads_back_with_its_comments(tmp_path):
    cfg = Config(dict(val_dataloader=VALUE, test_dataloader=VALUE, lr=0.5, model=VALUE))
    text = format_config(cfg, ['head', ''], dict(lr='a reason'))
    assert text.startswith('# head\n#\n\nmodel = dict(')
    assert '# a reason\nlr = 0.5\n' in text
    assert 'test_dataloader = val_dataloader\n' in text
    path = tmp_path / 'config.py'
    assert write_config(str(path), text) is None
    assert Config.fromfile(path).to_dict() == cfg.to_dict()


@pytest.mark.tries('a config of tools/finetune.py')
def test_a_config_that_was_changed_by_hand_is_kept(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text('changed')
    assert write_config(str(path), 'lr = 1\n') == str(tmp_path / 'config.previous.py')
    assert (tmp_path / 'config.previous.py').read_text() == 'changed'
    assert write_config(str(path), 'lr = 1\n') is None
