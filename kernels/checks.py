"""Argument checks that the operators share: one clear line for each fault."""

import torch

_FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_shapes(
    op: str, sizes: dict[str, int], **arguments: tuple[torch.Tensor, tuple[int | str, ...]]
) -> None:
    """Compare shapes with their patterns and bind the sizes in them.

    Args:
        op (str): Name of the operator, for the message.
        sizes (dict): Sizes known so far by name, extended in place.
        arguments: Name = (tensor, pattern); a pattern is a tuple of sizes and
            of names of sizes.

    Raises:
        ValueError: If an argument is no tensor or a shape does not fit.
    """
    for name, (tensor, pattern) in arguments.items():
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(f'{op}: {name} must be a tensor, got {type(tensor).__name__}')
        if not _fits(sizes, pattern, tensor.shape):
            names = (f'{key}={sizes[key]}' if key in sizes else str(key) for key in pattern)
            raise ValueError(
                f'{op}: {name} must be ({", ".join(names)}), got {tuple(tensor.shape)}'
            )
        sizes.update(item for item in zip(pattern, tensor.shape) if isinstance(item[0], str))


def _fits(sizes: dict[str, int], pattern: tuple[int | str, ...], shape: torch.Size) -> bool:
    if len(shape) != len(pattern):
        return False
    found = {}
    for key, given in zip(pattern, shape):
        wanted = sizes.get(key, key)
        if isinstance(wanted, str):
            wanted = found.setdefault(key, given)
        if wanted != given:
            return False
    return True


def check_not_empty(op: str, sizes: dict[str, int], *names: str) -> None:
    """Refuse sizes of zero.

    Args:
        op (str): Name of the operator, for the message.
        sizes (dict): Sizes by name.
        names (str): Names of the sizes that must be at least 1.

    Raises:
        ValueError: If one is zero.
    """
    for name in names:
        if not sizes[name]:
            raise ValueError(f'{op}: {name} must be at least 1, got 0')


def check_floating(
    op: str,
    first: tuple[str, torch.Tensor],
    inputs: dict[str, torch.Tensor],
    parameters: dict[str, torch.Tensor],
) -> None:
    """Compare dtypes and devices with those of the first argument.

    Args:
        op (str): Name of the operator, for the message.
        first (tuple): Name and tensor of the argument that decides.
        inputs (dict): Tensors by name, of any floating dtype; float64 if and only
            if the first is.
        parameters (dict): Tensors by name, of float32, or of float64 with a
            float64 first argument.

    Raises:
        ValueError: If a dtype or device does not fit.
    """
    first_name, tensor = first
    if tensor.dtype not in _FLOATING:
        raise ValueError(
            f'{op}: {first_name} must be float16, bfloat16, float32 or float64, got {tensor.dtype}'
        )
    double = tensor.dtype == torch.float64
    allowed = _FLOATING[3:] if double else _FLOATING[:3]
    for group, dtypes in ((inputs, allowed), (parameters, allowed[-1:])):
        for name, value in group.items():
            if value.dtype not in dtypes:
                raise ValueError(
                    f'{op}: {name} must be {" or ".join(map(str, dtypes))} '
                    f'with a {tensor.dtype} {first_name}, got {value.dtype}'
                )
            if value.device != tensor.device:
                raise ValueError(
                    f'{op}: {name} must be on {tensor.device} like {first_name}, got {value.device}'
                )
