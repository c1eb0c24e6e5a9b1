"""The kinds of problem that examining a checkpoint can find: code -> what it means; docs/errors.md is made from it."""

from __future__ import annotations

from types import MappingProxyType

CODES = MappingProxyType(
    {
        "adapter-base": "An adapter that was trained on another base model than the spec's.",
        "adapter-target": "An adapter whose target modules the model does not have.",
        "backend-not-possible": "A backend that does not run the checkpoint's architecture or its dtype.",
        "broken-checkpoint": "A checkpoint that contradicts itself: its index, config or modules do not fit its files.",
        "broken-processor": "A feature extractor or image processor that the library cannot load.",
        "broken-chat-template": "A chat template that refuses what the task puts through it.",
        "broken-tokenizer": "A tokenizer that the library cannot load.",
        "calibration": "A file of calibration examples that is missing, or whose examples cannot be read or answered.",
        "cannot-merge": "An adapter that cannot be merged into the model's weights.",
        "unknown-quantisation": "The checkpoint is quantised in a way that transformers does not know.",
        "cast-of-quantised": "A dtype asked for of a quantised checkpoint, which is kept as it is.",
        "cast-overflows": "A number among the weights that is too large for the dtype asked for.",
        "conversion-differs": "A converted model that answers too much unlike the checkpoint that it was made of.",
        "conversion-fails": "A checkpoint of which no model of the library asked for can be made.",
        "example-fails": "The emitted predictor did not answer the spec's input_example, or a golden example's input.",
        "generation-refused": "Generation settings in force with which every request would fail, or be answered wrong.",
        "golden-by-chance": "A golden example whose answer is sampled from no seed.",
        "golden-differs": "The emitted predictor answered a golden example otherwise than the spec says.",
        "licence-refused": "A source whose declared licence the spec's license_policy does not take.",
        "missing-tensors": "Tensors that the architecture needs and the checkpoint lacks, such as a head.",
        "no-chat-template": "A tokenizer without a chat template, where the task is a conversation.",
        "no-processor": "No feature extractor or image processor where the task needs one.",
        "not-pinned": "For `validate --strict`: a source whose version can move, without a lock.",
        "no-such-folder": "A `path` or `package` that leads to no folder.",
        "no-tokenizer": "No tokenizer where the task needs one.",
        "no-weights": "No weights that can be used.",
        "not-by-reference": "Weights that cannot stay at their source, since they must be converted or merged first.",
        "not-supported-yet": "Modules of sentence-transformers, or settings of theirs, that hfspec does not run.",
        "not-a-checkpoint": "A source without a config.json, or whose config names no architecture.",
        "pickled-code": "A pickled checkpoint that holds more than tensors.",
        "quantization": "A precision of embeddings that lacks its ranges, or ranges that do not fit it.",
        "remote-code": "Code of a checkpoint's own that the spec does not list as reviewed, or not as it is.",
        "task-not-possible": "A task that the architecture, or the library's class for it, cannot do.",
        "unknown-adapter": "An adapter of a type that cannot be run.",
        "too-many-dimensions": "A truncate_dim above the number of dimensions that the model gives.",
        "unknown-architecture": "An architecture that the installed library does not have.",
        "unknown-language": "A language that the checkpoint does not translate from or into.",
        "unknown-prompt": "A prompt named in the spec that the checkpoint does not have.",
        "unknown-option": "An option that a component does not have.",
        "unsafe-path": "A file of a source whose name cannot be carried along safely.",
        "vocabulary-too-large": "A tokenizer with more tokens than the model has embeddings.",
        "wrong-shape": "A tensor of another shape than the config makes it.",
        "wrong-tensors": "Weights that the library cannot load as the class it would use.",
    }
)
