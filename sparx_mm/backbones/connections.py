"""The connection rule of SparX as pure data: which layers of a stage read which.

Paper section 3.1, "Connection Rules". Layers are numbered from 0 within
their stage; a source is the number of an earlier layer or `STAGE_INPUT`.
"""

from ..errors import ConfigError

STAGE_INPUT = -1


def ganglion_indices(depth: int, stride: int, start: int | None) -> tuple[int, ...]:
    """List the ganglion layers of a stage, counted back from the last.

    Args:
        depth (int): Number of layers.
        stride (int): Distance S between two ganglion layers.
        start (int, optional): Lowest index of a ganglion layer. None: the stage
            has none.

    Returns:
        tuple[int]: Their indices, ascending.
    """
    if start is None:
        return ()
    return tuple(range(depth - 1, start - 1, -stride))[::-1]


def stage_connections(
    depth: int,
    stride: int = 1,
    start: int | None = None,
    window: int | None = None,
    sources: str = 'window',
    input_in_window: bool = False,
) -> tuple[tuple[int, ...], ...]:
    """Plan the connections of one stage.

    The first ganglion layer reads the stage input and every earlier layer;
    a later one reads the normal layers since the last ganglion layer, then
    the last ``window`` ganglion layers, each oldest first.

    Args:
        depth (int): Number of layers, at least 1.
        stride (int): Distance S between two ganglion layers, at least 1.
            Default: 1.
        start (int, optional): Lowest index of a ganglion layer. None: the stage
            has none. Default: None.
        window (int, optional): Number M of preceding ganglion layers to read,
            at least 1. None: all. Default: None.
        sources (str): ``'window'`` for the rule above, or ``'all'``: every
            ganglion layer reads the stage input and all earlier layers (the
            paper's dense ganglion connections, Table 5).
            Default: ``'window'``.
        input_in_window (bool): Count the stage input as the oldest member
            of the window. Default: False.

    Returns:
        tuple[tuple[int]]: By layer, the layers that it reads, in concatenation order;
        `STAGE_INPUT` stands for the input of the stage. Empty for a normal layer.

    Raises:
        ConfigError: If an argument is out of its range.

    Example:
        >>> stage_connections(4, 2, 0, window=3)
        ((), (-1, 0), (), (2, 1))
    """
    _check(depth, stride, start, window, sources)
    ganglions = ganglion_indices(depth, stride, start)
    plans = []
    for layer in range(depth):
        if layer not in ganglions:
            plans.append(())
            continue
        earlier = ganglions[: ganglions.index(layer)]
        if sources == 'all' or not earlier:
            read = (STAGE_INPUT,) + tuple(range(layer))
        else:
            members = (STAGE_INPUT,) * input_in_window + earlier
            read = tuple(range(earlier[-1] + 1, layer))
            read += members if window is None else members[-window:]
        plans.append(read)
    return tuple(plans)


def _check(depth, stride, start, window, sources):
    # not isinstance, by which True is an int
    for name, value in (('depth', depth), ('stride', stride)):
        if type(value) is not int or value < 1:
            raise ConfigError(f'{name} must be an int from 1, got {value!r}')
    if start is not None and (type(start) is not int or not 0 <= start < depth):
        raise ConfigError(
            f'start must be None or an int in [0, depth) = [0, {depth}), got {start!r}'
        )
    if window is not None and (type(window) is not int or window < 1):
        raise ConfigError(f'window must be None or an int from 1, got {window!r}')
    if sources not in ('window', 'all'):
        raise ConfigError(f"sources must be 'window' or 'all', got {sources!r}")
