"""mmengine finds configs by ``package::`` for a closed list of packages, and as bases alone.

`install` has it find the configs of this package by ``sparx_mm::``, as bases and as whole
configs. It does not add the package to the list: mmengine would then give such a base the
package's name as scope, and seek the classes of a detector there. `sparx_mm.engine` calls it.

Example:
    >>> from mmengine.config import Config
    >>> from sparx_mm.compat import config_names
    >>> config_names.install()
    >>> Config.fromfile('sparx_mm::mmdet/mask_rcnn_sparx_t_3x.py').model.type
    'MaskRCNN'
"""

import functools

from mmengine.config import Config

from ..model_index import CONFIG_PREFIX, config_path


@functools.cache
def install() -> None:
    """Let mmengine find configs by ``sparx_mm::``."""
    find_base, read_file = Config._get_cfg_path, Config.fromfile

    def _get_cfg_path(cfg_path, filename):
        if cfg_path.startswith(CONFIG_PREFIX):
            return config_path(cfg_path), None
        return find_base(cfg_path, filename)

    @functools.wraps(read_file)
    def fromfile(filename, *args, **kwargs):
        if str(filename).startswith(CONFIG_PREFIX):
            filename = config_path(filename)
        return read_file(filename, *args, **kwargs)

    Config._get_cfg_path = staticmethod(_get_cfg_path)
    Config.fromfile = staticmethod(fromfile)
