"""Our counts of the rows of papers, each made once for all tests of a process."""

from functools import cache

from detection import ROOT

from sparx_mm.analysis import count_row

_rows = {}


@cache
def _count(key):
    return count_row(_rows[key], str(ROOT / 'configs'))


def counted(row):
    """Count the model of a row, which may stand in several tables."""
    row = row._replace(table='', name='', flops='', params='', reason=None)
    # an arch may be a dict, which has no hash
    _rows[str(row)] = row
    return _count(str(row))


def numbers(row):
    """Count G multiply-adds and M parameters of a row."""
    total = counted(row).total()
    return total.macs / 1e9, total.params / 1e6
