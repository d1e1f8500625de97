_base_ = './vmamba_runtime.py'

# registers the classifier with a teacher, which other programs do not need mmpretrain for
custom_imports = dict(imports=['sparx_mm', 'sparx_mm.engine', 'sparx_mm.distillation'])
