"""A report on data sets as text."""

from collections.abc import Sequence

from .set_report import SetReport

# faults of a set that are shown
MAX_FAULTS = 20


def format_reports(reports: Sequence[SetReport]) -> str:
    """Write a table of the data sets, then the classes and faults of each.

    Args:
        reports (Sequence[SetReport]): What `report_data` returns.

    Returns:
        str: The text, without a newline at its end.
    """
    rows = [('data set', 'images', 'objects', 'sizes in pixels', 'faults')]
    rows += [(r.key, len(r.samples), r.objects.total(), _sizes(r), len(r.faults)) for r in reports]
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ['  '.join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows]
    for i, report in enumerate(reports, 1):
        if report.same_as:
            lines[i] = f'{report.key.ljust(widths[0])}  the same as {report.same_as}'
    for report in reports:
        if report.same_as and not report.faults:
            continue
        lines += ['', f'{report.key}:', *(f'  {note}' for note in report.notes)]
        counts = ', '.join(f'{name} {count}' for name, count in report.objects.most_common())
        if counts:
            lines.append(f'  objects by class: {counts}')
        lines += [f'  fault: {fault.text}' for fault in report.faults[:MAX_FAULTS]]
        if len(report.faults) > MAX_FAULTS:
            lines.append(f'  and {len(report.faults) - MAX_FAULTS} more faults')
    return '\n'.join(lines)


def _sizes(report: SetReport) -> str:
    if not report.widths:
        return '-'
    smallest = f'{min(report.widths)} x {min(report.heights)}'
    return f'{smallest} to {max(report.widths)} x {max(report.heights)}'
