"""Parts of `benchmarks/learning.py`: small networks trained side by side on equal budgets."""

from sparx_mm.compat import torchvision_stub

# before mmdet, because it may find a torchvision that does not load
torchvision_stub.install()
