"""The maps that a backbone returns: of which stages, and how large."""

from collections.abc import Sequence
from typing import Any

from ..errors import ConfigError


def resolve_out_indices(out_indices: int | Sequence[int], num_stages: int) -> tuple[int, ...]:
    """Resolve the stages, or layers, whose maps a backbone returns.

    Args:
        out_indices (int or Sequence[int]): One stage or several in ascending order;
            -1 is the last.
        num_stages (int): Number of stages, or layers, of the arch.

    Returns:
        tuple[int, ...]: Stages from 0.

    Raises:
        ConfigError: If one does not exist, or is not after the one before it.

    Example:
        >>> resolve_out_indices((0, -1), 4)
        (0, 3)
    """
    given = (out_indices,) if isinstance(out_indices, int) else out_indices
    # not isinstance, by which True is an int
    if not isinstance(given, Sequence) or not all(type(i) is int for i in given):
        raise ConfigError(f'out_indices must be an int or a sequence of ints, got {out_indices!r}')
    stages = tuple(i + num_stages if i in range(-num_stages, 0) else i for i in given)
    in_range = all(i in range(num_stages) for i in stages)
    if not stages or not in_range or list(stages) != sorted(set(stages)):
        raise ConfigError(
            f'out_indices must be ascending, distinct and in [{-num_stages}, {num_stages}), '
            f'got {out_indices}'
        )
    return stages


class FeatureInfo(list):
    """What a backbone's stages, or layers where it has no stages, give, by timm's names.

    A list with a dict for each stage that is built: ``num_chs``, its channels;
    ``reduction``, the side of the image as a multiple of the map's; ``module``, its name.

    Args:
        channels (Sequence[int]): Channels of each stage.
        out_indices (Sequence[int]): Stages whose maps are returned.
        reductions (Sequence[int]): Reduction of each stage.
        modules (Sequence[str], optional): Name of each stage. None: ``'stages.0'`` and so
            on. Default: None.

    Attributes:
        out_indices (tuple[int, ...]): The same stages.
    """

    def __init__(
        self,
        channels: Sequence[int],
        out_indices: Sequence[int],
        reductions: Sequence[int],
        modules: Sequence[str] | None = None,
    ) -> None:
        if modules is None:
            modules = [f'stages.{i}' for i in range(len(channels))]
        super().__init__(
            dict(num_chs=number, reduction=reduction, module=module)
            for number, reduction, module in zip(channels, reductions, modules, strict=True)
        )
        self.out_indices = tuple(out_indices)

    def channels(self, idx: int | Sequence[int] | None = None) -> int | list[int]:
        """Return the channels of a stage or of several.

        Args:
            idx (int or Sequence[int], optional): The stages. Default: those whose
                maps are returned.
        """
        return self._pick('num_chs', idx)

    def reduction(self, idx: int | Sequence[int] | None = None) -> int | list[int]:
        """Return by what a stage's map is smaller than the image, or several stages'.

        Args:
            idx (int or Sequence[int], optional): As for `channels`.
        """
        return self._pick('reduction', idx)

    def module_name(self, idx: int | Sequence[int] | None = None) -> str | list[str]:
        """Return the name of a stage's module, or of several.

        Args:
            idx (int or Sequence[int], optional): As for `channels`.
        """
        return self._pick('module', idx)

    def _pick(self, key: str, idx: int | Sequence[int] | None) -> Any:
        if isinstance(idx, int):
            return self[idx][key]
        return [self[i][key] for i in (self.out_indices if idx is None else idx)]
