"""A checkpoint and the adapter that the spec puts on it, looked at together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hfspec.checkpoint.adapters.adapter import Adapter
from hfspec.checkpoint.adapters.adapter_fit import adapt, adapter_problems, brought, head_labels, unmatched_targets
from hfspec.checkpoint.adapters.declared_base import base_notes, base_problems, declared_base
from hfspec.checkpoint.adapters.merging import merge_problems, merged_tensors, refused_merges, stored_in
from hfspec.checkpoint.adapters.trial import load_problems
from hfspec.checkpoint.config import WITHHELD
from hfspec.checkpoint.config_rewrite import with_labels
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.weights.fit import Fit, MetaModel
from hfspec.checkpoint.weights.weight_files import WeightGroup, listed
from hfspec.errors import SpecError
from hfspec.formats.quantisation import quantisation
from hfspec.formats.vocabulary_files import VOCABULARIES
from hfspec.ir.dtypes import BY_TORCH_NAME
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.plan import Merging
from hfspec.ir.spec_keys import Adapter as AdapterKey

OF_A_TOKENIZER = (*VOCABULARIES, "added_tokens.json", "chat_template.jinja")


@dataclass(frozen=True, slots=True)
class Pair:
    """A model and its adapter. ``config``: the model's config.json."""

    model: SourceFiles
    config: Mapping[str, Any]
    adapter: Adapter
    key: AdapterKey

    @property
    def beside(self) -> Adapter | None:
        """The adapter where it is put beside the model, None where it is merged."""
        return None if self.key.merge else self.adapter

    def merging(self, model_class: str, labels: int | None) -> Merging | None:
        """The model that the adapter is merged into, None where it is not."""
        if not self.key.merge:
            return None
        config = {key: value for key, value in with_labels(self.config, labels).items() if key not in WITHHELD}
        return Merging(model_class, FrozenDict(config), FrozenDict(self.adapter.config))

    def check(self) -> None:
        """Raises SpecError when the adapter says it was trained on another base, or cannot be merged and should be."""
        base = declared_base(self.adapter.declared)
        problems = [*base_problems(self.adapter.files, base, self.model, self.config, self.key)]
        if self.key.merge:
            problems += merge_problems(self.adapter, is_quantised=quantisation(self.config) is not None)
        if problems:
            raise SpecError(problems)

    def labels(self, base_model: MetaModel, config: Any) -> int | None:
        """How many labels the adapter's head has, where that is not what the library's ``config`` says."""
        return head_labels(self.adapter, base_model.model, config)

    def _without_brought(self, fit: Fit) -> Fit:
        """The fit of the model without the faults of tensors that the adapter brings."""
        names = brought(self.adapter)
        return replace(
            fit,
            missing=tuple(name for name in fit.missing if name not in names),
            mismatched=tuple(item for item in fit.mismatched if item.name not in names),
        )

    @property
    def brings_head(self) -> bool:
        """Whether the adapter has whole modules of its own in place of the model's, beside embeddings: a head."""
        modules = self.adapter.config.get("modules_to_save") or ()
        return any("embed" not in str(name) for name in modules)

    def fit(self, base_model: MetaModel, own: Fit, weights: WeightGroup, dtype: str) -> Fit:
        """How the model fits with the adapter on it.

        Args:
            base_model: The model without weights; the adapter is put into it.
            own: How the model fits by itself.
            weights: The model's weight files.
            dtype: Torch's name of the dtype of the deployment.

        Returns:
            The model's fit with what the adapter brings and changes.

        Raises:
            SpecError: With everything that keeps the adapter from being loaded, or merged.
        """
        adapted = adapt(self.adapter, base_model.model)
        problems = (
            *adapter_problems(self.adapter, adapted, own.vocabulary),
            *load_problems(self.adapter, adapted.model),
        )
        if self.key.merge and not problems:
            problems = tuple(refused_merges(self.adapter, adapted.model))
        if problems:
            raise SpecError(problems)
        unmatched = unmatched_targets(self.adapter, adapted)
        unmatched_note = (
            f"The adapter targets modules that the model does not have: {listed(unmatched)}." if unmatched else ""
        )
        notes = (*filter(None, [unmatched_note]), *self._notes())
        whole = replace(self._without_brought(own), notes=notes)
        if not self.key.merge:
            return whole
        base = stored_in(self.model, weights, base_model.dtypes)
        return replace(whole, changes=merged_tensors(self.adapter, adapted, base, base_model, BY_TORCH_NAME[dtype]))

    def _notes(self) -> Iterator[str]:
        files = self.adapter.files
        yield from base_notes(declared_base(self.adapter.declared), self.model, self.config, self.key)
        if self.adapter.weights.pickled:
            yield "The adapter's weights are pickled (.bin) at the source and are written as safetensors."
        own = [path for path, _ in files.pin.skipped if path in OF_A_TOKENIZER]
        differing = [path for path in own if not self._is_the_models(path)]
        if differing:
            yield (
                f"The adapter brings a tokenizer that is not the model's ({listed(differing)}); the model's is used:"
                " to use the adapter's, name its source under `components.tokenizer`."
            )

    def _is_the_models(self, path: str) -> bool:
        other = self.model.has(path) and self.model.content(path)
        return bool(other) and other == self.adapter.files.content(path)
