"""Report what is installed, or check the kernels: python tools/info.py [--selftest]."""

import openmp  # noqa: F401

from sparx_mm.info import main

if __name__ == '__main__':
    main()
