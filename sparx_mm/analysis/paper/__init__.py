"""Printed tables of papers beside this package's own counts."""

from . import cvmh_unet, groupmamba, plainmamba, sparx, vmamba, vssd

# by the name that tools/get_flops.py --paper takes
PAPERS = dict(
    sparx=sparx.ROWS,
    vmamba=vmamba.ROWS,
    vssd=vssd.ROWS,
    groupmamba=groupmamba.ROWS,
    plainmamba=plainmamba.ROWS,
    cvmh_unet=cvmh_unet.ROWS,
)
