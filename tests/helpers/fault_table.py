"""Print the table of docs/reliability.md with the outcomes of the tests that try each row.

A plugin of pytest, which ``make test-faults`` loads.
"""

from collections import Counter, defaultdict
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / 'docs/reliability.md'


def read_rows() -> list[list[str]]:
    """Read the cells of the page's table: fault, what happens, what is lost."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith('| ')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[1:]]


def find_row(fault: str, rows: list[list[str]]) -> list[str]:
    """Find the row that a mark ``tries(fault)`` means.

    Args:
        fault (str): Beginning of the row's first cell, without backticks.
        rows (list[list[str]]): All rows.

    Returns:
        list[str]: The row.

    Raises:
        LookupError: If no row begins so, or if several do.
    """
    found = [row for row in rows if row[0].replace('`', '').startswith(fault)]
    if len(found) != 1:
        raise LookupError(f'{len(found)} rows of {PAGE.name} begin with {fault!r}')
    return found[0]


def pytest_itemcollected(item):
    """Give the marks to the test's report, which comes from another process under -n."""
    item.user_properties += [
        ('tries', fault) for mark in item.iter_markers('tries') for fault in mark.args
    ]


def pytest_terminal_summary(terminalreporter):
    """Print the table below the results."""
    rows, outcomes = read_rows(), defaultdict(Counter)
    for outcome in ('failed', 'error', 'passed', 'skipped'):
        for report in terminalreporter.getreports(outcome):
            for name, fault in report.user_properties:
                if name == 'tries':
                    outcomes[find_row(fault, rows)[0]][outcome] += 1
    terminalreporter.section('what a fault costs')
    terminalreporter.write_line('| fault | what happens | what is lost | tests |\n|-|-|-|-|')
    for row in rows:
        counts = [f'{number} {outcome}' for outcome, number in outcomes[row[0]].items()]
        terminalreporter.write_line(f'| {" | ".join(row)} | {", ".join(counts) or "not run"} |')
