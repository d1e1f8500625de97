"""The line that `sparx_mm` prints without mmengine is enough for its backbones."""

from archs import PICO
from without import run_after_install

LOAD = f"""
import torch
from sparx_mm import SparXMamba
source = SparXMamba({PICO})
torch.save(source.state_dict(), 'file.pth')
model = SparXMamba({PICO}, init_cfg=dict(type='Pretrained', checkpoint='file.pth'))
model.init_weights()
own = model.state_dict()
print(all(own[name].equal(value) for name, value in source.state_dict().items()))
"""


def test_the_printed_line_gives_a_pretrained_backbone(tmp_path):
    for folder in ('before', 'after'):
        (tmp_path / folder).mkdir()
    # as after `pip install .`, without an extra
    done = run_after_install(
        ['sparx_mm'], 'import sparx_mm; sparx_mm.SparXMamba', tmp_path / 'before'
    )
    _, _, line = done.stderr.strip().rpartition('; type: pip install ')
    assert line, done.stderr
    done = run_after_install(['sparx_mm', *line.split()], LOAD, tmp_path / 'after')
    assert done.stdout.endswith('True\n'), done.stderr
