_base_ = './default_runtime.py'

# registers VMUNetHead, which other programs do not need mmseg for
custom_imports = dict(imports=['sparx_mm', 'sparx_mm.engine', 'sparx_mm.decode_heads'])
