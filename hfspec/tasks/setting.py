"""A setting of a task: its name, its values, what it does. One fact for the schema, the checks and the docs."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from hfspec.ir.frozen import Json

JSON_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "string": (str,),
    "null": (type(None),),
    "array": (tuple, list),
}


SAMPLING, BEAMS = "sampling", "beams"


@dataclass(frozen=True, slots=True)
class Setting:
    """``types`` are JSON Schema's names. ``minimum`` is the least value allowed, ``above`` a value that must be
    exceeded, ``maximum`` the greatest; ``items`` the JSON type of a list's items. ``default`` is hfspec's own, where
    neither the checkpoint nor the spec says; None leaves it to the library. ``models``: a pattern of the names of the
    model classes that can use it, where not all of the task's can (``Whisper*``). ``only_with``: SAMPLING or BEAMS,
    where generation uses it in no other way. ``reads_prompt``: whether it reads the prompt's tokens or counts them, so
    that padding in front of a prompt would change the answer, unless its value is ``idle``, which does nothing.
    """

    name: str
    types: tuple[str, ...]
    description: str
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    choices: tuple[Json, ...] = ()
    items: str = ""
    default: Json = None
    models: str = "*"
    only_with: str = ""
    reads_prompt: bool = False
    idle: Json = None

    def fault(self, value: Any) -> str:
        """The fault of a value, as words that follow "expected"; empty when it is good."""
        if not any(_is(value, name) for name in self.types):
            return self.expected()
        if self.items and isinstance(value, list | tuple) and not all(_is(item, self.items) for item in value):
            return self.expected()
        if self.choices and value not in self.choices:
            return self.expected()
        if isinstance(value, int | float) and not isinstance(value, bool) and not self._within(value):
            return self.expected()
        return ""

    def _within(self, value: float) -> bool:
        return (
            (self.minimum is None or value >= self.minimum)
            and (self.above is None or value > self.above)
            and (self.maximum is None or value <= self.maximum)
        )

    def suits(self, model_class: str) -> bool:
        """Whether a model class of this name can use the setting."""
        return fnmatchcase(model_class, self.models)

    def expected(self) -> str:
        """The values allowed, in words."""
        if self.choices:
            return "one of " + ", ".join("null" if choice is None else str(choice) for choice in self.choices)
        words = " or ".join(f"a list of {self.items}s" if name == "array" else name for name in self.types)
        limits = [
            f"at least {self.minimum:g}" if self.minimum is not None else "",
            f"above {self.above:g}" if self.above is not None else "",
            f"at most {self.maximum:g}" if self.maximum is not None else "",
        ]
        return ", ".join([words, *filter(None, limits)])

    def schema(self) -> dict[str, Any]:
        """The setting as JSON Schema 2020-12."""
        types: Any = list(self.types) if len(self.types) > 1 else self.types[0]
        result: dict[str, Any] = {"type": types, "description": self.description}
        if self.choices:
            result["enum"] = list(self.choices)
        if self.items:
            result["items"] = {"type": self.items}
        limits = {"minimum": self.minimum, "exclusiveMinimum": self.above, "maximum": self.maximum}
        return result | {key: value for key, value in limits.items() if value is not None}


def _is(value: Any, json_type: str) -> bool:
    if isinstance(value, bool):
        return json_type == "boolean"
    if json_type == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, JSON_TYPES[json_type])
