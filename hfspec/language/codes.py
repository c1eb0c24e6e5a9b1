"""The kinds of problem that reading, composing and checking a spec can find: code -> what it means.

Codes are stable: programs that read ``hfspec validate --format json`` go by them. docs/errors.md is written from here.
"""

from __future__ import annotations

from types import MappingProxyType

CODES = MappingProxyType(
    {
        "alias": "A YAML alias (`*name`); use a `defaults:` list or an interpolation.",
        "anchor": "A YAML anchor (`&name`); use a `defaults:` list or an interpolation.",
        "conflict": "Two keys that cannot both be given, or two columns of one name.",
        "control-character": "A control character, a NUL, or half of a character pair.",
        "dead-key": "A key, setting or param that has no effect on this task or type.",
        "defaults": "A defaults list that Hydra cannot compose.",
        "directive": "A `%` directive; specs are YAML 1.2.",
        "documents": "More than one YAML document in a file.",
        "duplicate-key": "A key that is written twice in one mapping.",
        "empty-file": "A file without a spec.",
        "encoding": "Bytes that are not UTF-8.",
        "endpoint": "A protocol that cannot ask the model's task.",
        "example-input": "An input of input_example or golden that the task does not take.",
        "forbidden-key": "`_target_` or another key by which Hydra would instantiate something.",
        "format": "A format that the task, the checkpoint or the exporter cannot make.",
        "golden-output": "An output of a golden example that no answer equals.",
        "golden-params": "Params of a golden example that predict would refuse.",
        "golden-tolerance": "A tolerance that every answer would pass.",
        "integer-size": "A whole number beyond 64 bits.",
        "interpolation": "An interpolation with a resolver, without a value, or not well formed.",
        "invalid": "A spec that only the typed model refuses; please report it.",
        "key-type": "A key that is not text.",
        "merge-key": "The YAML merge key `<<`.",
        "missing-key": "A key that must be given.",
        "missing-value": "`???`, a value that had to be given and was not.",
        "not-finite": "A number that is infinite, or not a number.",
        "not-json": "A value from an override that JSON cannot hold.",
        "override": "An override that cannot be read or applied.",
        "param-limits": "A param whose default or limits contradict each other or the setting.",
        "param-type": "A param whose default or choices are not of its type.",
        "prompt-template": "A prompt template that cannot be read, or whose slots the input cannot fill.",
        "quote-text": "A text, such as a revision, that YAML reads as something else because it is not quoted.",
        "revision-without-repo": "A revision of something that is not a repository.",
        "source-place": "A source with no place, or more than one.",
        "syntax": "Text that is not YAML.",
        "tag": "A YAML tag (`!name`).",
        "too-deep": "Values nested too deep.",
        "too-large": "A file or value that is too large.",
        "unknown-config": "A config that a defaults list or an override names and that does not exist.",
        "unknown-key": "A key that the language does not have at this place.",
        "unknown-licence": "An entry of license_policy that is nearly, but not quite, a licence identifier of the hub.",
        "unknown-setting": "A setting that no task has.",
        "unknown-task": "A task that the library does not have.",
        "unreadable": "A file that cannot be read: a link to nothing, or one that its permissions close.",
        "wrong-type": "A value of the wrong type.",
        "wrong-value": "A value of the right type that is not allowed.",
    }
)
