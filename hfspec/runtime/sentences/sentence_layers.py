"""The modules after the Transformer as functions over tensors: pooling, dense, layer norm, normalisation.

Each computes the same as the sentence-transformers module of its name (https://sbert.net, package reference, modules).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from hfspec.errors import StorageError
from hfspec.formats.sentence_modules import Module
from hfspec.library_calls.activations import torch_activation

Layer: TypeAlias = Callable[[Any], Any]


def pool(vectors: Any, mask: Any, modes: Sequence[str], prompt_tokens: int) -> Any:
    """Token vectors (rows, tokens, size) and their mask (rows, tokens), padded on the right, as one vector a row: those
    of each mode joined. The first ``prompt_tokens`` of each row are left out.
    """
    import torch

    if prompt_tokens:
        mask = mask.clone()
        mask[:, :prompt_tokens] = 0
    return torch.cat([_pooled(vectors, mask, mode) for mode in modes], dim=-1)


def layer(module: Module, device: str, dtype: Any = None) -> Layer | None:
    """The module's function over (rows, size), with its weights in ``dtype``, by default as stored; None for one that
    does nothing when a model answers.
    """
    import torch

    if module.kind == "Normalize":
        return lambda vectors: torch.nn.functional.normalize(vectors, p=2, dim=-1)
    if module.kind == "Dense":
        return _dense(module, device, dtype)
    if module.kind == "LayerNorm":
        norm = torch.nn.LayerNorm(module.config["dimension"])
        _fill(norm, module, "norm.", device, dtype)
        return lambda vectors: norm(vectors.to(norm.weight.dtype))
    return None


def _pooled(vectors: Any, mask: Any, mode: str) -> Any:
    import torch

    rows, wide = torch.arange(vectors.shape[0], device=vectors.device), mask.unsqueeze(-1)
    if mode == "cls":
        return vectors[rows, mask.argmax(dim=1)]
    if mode == "lasttoken":
        last = mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)
        last = last.where(mask.any(dim=1), last.new_zeros(()))
        return vectors[rows, last] * mask[rows, last].unsqueeze(-1).to(vectors.dtype)
    if mode == "max":
        return vectors.masked_fill(wide == 0, float("-inf")).max(dim=1).values
    if mode == "weightedmean":
        return _mean(vectors, torch.arange(1, mask.shape[1] + 1, device=mask.device) * mask)
    return _mean(vectors, mask, square_root=mode == "mean_sqrt_len_tokens")


def _mean(vectors: Any, weights: Any, *, square_root: bool = False) -> Any:
    """The weighted mean over tokens, summed in float32 at least."""
    import torch

    dtype = torch.promote_types(vectors.dtype, torch.float32)
    wide = weights.unsqueeze(-1).to(dtype)
    count = wide.sum(dim=1).clamp(min=1e-9)
    return ((vectors.to(dtype) * wide).sum(dim=1) / (count.sqrt() if square_root else count)).to(vectors.dtype)


def _dense(module: Module, device: str, dtype: Any) -> Layer:
    import torch

    config = module.config
    linear = torch.nn.Linear(config["in_features"], config["out_features"], bias=config.get("bias", True))
    residual = None
    if config.get("use_residual") and config["in_features"] != config["out_features"]:
        residual = torch.nn.Linear(config["in_features"], config["out_features"], bias=False)
        _fill(residual, module, "residual.", device, dtype)
    _fill(linear, module, "linear.", device, dtype)
    activation = torch_activation(str(config.get("activation_function", "torch.nn.Tanh")))

    def apply(vectors: Any) -> Any:
        vectors = vectors.to(linear.weight.dtype)
        hidden = activation(linear(vectors))
        if not config.get("use_residual"):
            return hidden
        return hidden + (vectors if residual is None else residual(vectors))

    return apply


def _fill(target: Any, module: Module, prefix: str, device: str, dtype: Any) -> None:
    """Load the module's weights into ``target``; raises StorageError for none, and for those of another shape."""
    from safetensors.torch import load_file

    path = module.folder / "model.safetensors"
    try:
        weights = {
            name.removeprefix(prefix): value for name, value in load_file(path).items() if name.startswith(prefix)
        }
        target.load_state_dict(weights)
        target.to(device=device, dtype=dtype or next(iter(weights.values())).dtype).eval()
    except (OSError, RuntimeError, StopIteration) as error:
        raise StorageError(f"the weights of {module.folder.name}/ could not be loaded: {error}") from error


def splade(logits: Any, mask: Any, config: Mapping[str, Any]) -> Any:
    """Logits over the vocabulary (rows, tokens, vocabulary) as one weight a word: log(1 + relu), over a row's tokens
    the largest or the sum (SPLADE, arXiv 2107.05720 and 2109.10086).
    """
    weights = (logits * mask.unsqueeze(-1).to(logits.dtype)).relu().log1p()
    if config.get("activation_function", "relu") == "log1p_relu":
        weights = weights.log1p()
    return weights.amax(dim=1) if config.get("pooling_strategy", "max") == "max" else weights.sum(dim=1)
