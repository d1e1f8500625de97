"""Keep OpenMP's threads from spinning at barriers for long, unless the user has said how long.

On cores that other programs use too, a thread that spins keeps the one that it waits for from
running: training has been eight times slower. Imported before torch, which reads the variables
when it is loaded.
"""

import os

# GNU OpenMP's: how a thread waits, and for how many turns it spins before it sleeps. Both
# are left as they are if either is set
VARIABLES = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')
# enough for the barriers of a network on cores of its own
SPIN_COUNT = '2000'

if not any(name in os.environ for name in VARIABLES):
    os.environ['GOMP_SPINCOUNT'] = SPIN_COUNT
