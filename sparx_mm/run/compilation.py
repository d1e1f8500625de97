"""torch.compile for the backbones of a model: the option ``--compile``."""

from collections.abc import Iterator

from mmengine.config import Config
from mmengine.device import get_device
from torch import nn

from ..backbones import Backbone
from ..errors import UserError


def check_compile(cfg: Config) -> None:
    """Check that ``--compile`` can do what it says.

    Args:
        cfg (Config): A whole config.

    Raises:
        UserError: If the config compiles the model itself, if a runner builds the model
            only when it runs, or if there is no C++ compiler for the code of a CPU.
    """
    if cfg.get('compile'):
        raise UserError(
            'the config has compile, which compiles the whole model, and --compile compiles its '
            'backbone alone: give --cfg-options compile=False, or leave --compile out'
        )
    if 'strategy' in cfg:
        raise UserError(
            'the config has a strategy, which builds the model when the run starts, too late for '
            '--compile: leave it out'
        )
    if get_device() == 'cpu':
        _check_compiler()


def compile_backbones(model: nn.Module) -> list[str]:
    """Compile the backbones of a model in place, and nothing else of it.

    Code is made when they first run. Names of parameters stay, so that checkpoints are
    the same as without. Images may have any size: sizes are symbols in the code, which
    is made anew where a map is as small as one row or window.

    Args:
        model (nn.Module): A model, perhaps in a wrapper, or a backbone. One of this
            package is compiled layer by layer, another one as a whole.

    Returns:
        list[str]: Names of the compiled modules; '' is the model itself.

    Raises:
        UserError: If the model has none.
    """
    found = dict(_backbones(model))
    if not found:
        raise UserError(
            f'--compile: {type(model).__name__} has no module named backbone: leave it out'
        )
    for backbone in found.values():
        backbone.compile(dynamic=True)
    return list(found)


def _backbones(model: nn.Module, name: str = '') -> Iterator[tuple[str, nn.Module]]:
    """Yield the outermost backbones and their names."""
    is_own = isinstance(model, Backbone)
    if is_own or name.rpartition('.')[2] == 'backbone':
        yield name, model
        return
    for child_name, child in model.named_children():
        yield from _backbones(child, f'{name}.{child_name}' if name else child_name)


def _check_compiler() -> None:
    # imported late, because it takes seconds
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise UserError(
            '--compile needs a C++ compiler for the code of a CPU, and there is none: install '
            'g++, name one in the variable CXX, or leave --compile out'
        ) from error
