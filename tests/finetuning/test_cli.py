"""The command line of tools/finetune.py."""

import os
import re
import shlex

from detection import ROOT

from sparx_mm.finetuning.cli import finetune_parser, print_outcome
from sparx_mm.finetuning.finetune import Outcome

PAGES = ('README.md', 'docs/fine_tuning.md')
COMMANDS = [
    line
    for page in PAGES
    for line in re.findall(
        r'tools/finetune\.py( --[^`\n]+)', (ROOT / page).read_text().replace('\\\n', '')
    )
]


def test_the_pages_commands_are_read():
    assert len(COMMANDS) >= 7
    for command in COMMANDS:
        args = finetune_parser().parse_args(shlex.split(command))
        assert args.task or args.resume


def test_the_programs_of_the_page_can_be_run():
    page = (ROOT / 'docs/fine_tuning.md').read_text().replace('\\\n', '')
    lines = ''.join(re.findall(r'```shell\n(.*?)```', page, re.S)).splitlines()
    assert len(lines) >= 10
    for line in lines:
        program = line.split()[0]
        assert program == '.venv/bin/python' or os.access(ROOT / program, os.X_OK), line


def test_the_last_lines_say_how_to_go_on(capsys):
    print_outcome(Outcome('run/config.py'))
    assert capsys.readouterr().out == 'by hand: sparx-mm train run/config.py\n'
    print_outcome(Outcome('run/config.py', 'best.pth', {'mIoU': 12.345}, 'run/predictions.png'))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'mIoU: 12.35'
    assert lines[-1] == 'by hand: sparx-mm train run/config.py --resume'
