"""The context for transformers to make a model in: one at a time, without first values, which the
checkpoint replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from threading import RLock
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# The functions that layers call in their constructors.
FILLING = frozenset(
    (
        torch.nn.init.kaiming_normal_,
        torch.nn.init.kaiming_uniform_,
        torch.nn.init.normal_,
        torch.nn.init.trunc_normal_,
        torch.nn.init.uniform_,
        torch.nn.init.xavier_normal_,
        torch.nn.init.xavier_uniform_,
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
    )
)
META = torch.device("meta")


@contextmanager
def making(*, unfilled: bool = True) -> Iterator[None]:
    """The context of a model's ``from_pretrained``. ``unfilled``: whether to leave layers without first values.

    ``from_pretrained`` replaces functions of transformers and of torch for the whole process (no_tie_weights and
    guard_torch_init_functions of transformers/initialization.py, local_torch_dtype). Two threads in it at once can put
    each other's replacements back, after which nothing in the process ties weights any more.
    """
    with _ONE, Unfilled() if unfilled else nullcontext():
        yield


_ONE = RLock()


class Unfilled(TorchFunctionMode):  # type: ignore[misc]
    """A mode that spares torch its references in Python for tensors of the meta device, for which it imports sympy: the
    tensors, which have no memory, are not filled, and are made and copied in shape as usual.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if function in FILLING:
            tensor = args[0] if args else options["tensor"]
            if tensor.is_meta:
                return tensor
        elif function is torch.arange and options.get("device") == META:
            return _empty(function(*args, **{**options, "device": "cpu"}), META)
        elif (
            function is torch.empty_like and set(options) == {"device"} and args[0].is_meta and args[0].is_contiguous()
        ):
            return _empty(args[0], options["device"])
        return function(*args, **options)


def _empty(like: Any, device: Any) -> Any:
    return torch.empty(like.shape, dtype=like.dtype, device=device)
