"""Printed tables of papers beside this package's own counts."""

from . import sparx, vmamba

# by the name that tools/get_flops.py --paper takes
PAPERS = dict(sparx=sparx.ROWS, vmamba=vmamba.ROWS)
