"""A config is laid out once, and as without the stand-in."""

from without import run_without

CODE = """
from yapf.yapflib import yapf_api
format_code, calls = yapf_api.FormatCode, []
yapf_api.FormatCode = lambda *args, **kwargs: calls.append(1) or format_code(*args, **kwargs)
from mmengine.config import Config
configs = [Config(dict(model=dict(type=name, depths=[1, 2]))) for name in 'AB']
plain = [cfg.pretty_text for cfg in configs]
calls.clear()
from sparx_mm.compat import config_layout
config_layout.install()
config_layout.install()
print([cfg.pretty_text == text for cfg, text in zip(configs, plain) for _ in range(3)])
print(len(calls), plain[0] == plain[1])
try:
    yapf_api.FormatCode('a = (')
except Exception as error:
    print(type(error).__name__)
"""


def test_a_config_is_laid_out_once(tmp_path):
    done = run_without([], CODE, tmp_path)
    assert done.stdout == f'{[True] * 6}\n2 False\nYapfError\n', done.stderr
