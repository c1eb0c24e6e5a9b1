"""Which value of each setting is in force for a call, and who set it: layers of settings, laid over each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple

from hfspec.errors import ParamsError
from hfspec.ir.artifact import Manifest
from hfspec.ir.frozen import thaw
from hfspec.ir.signature import Param, Signature
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import Task

HFSPEC_DEFAULT = "hfspec default"
CHECKPOINT = "checkpoint"
MODEL_CONFIG = "model_config"
LOAD = "model_config given to load"
SIGNATURE = "signature.params default"
PREDICT = "params given to predict"
REQUEST = "the request"
# Lowest to highest: a later layer wins. hfspec's defaults hold only where the checkpoint says nothing.
ORDER = (HFSPEC_DEFAULT, CHECKPOINT, MODEL_CONFIG, LOAD, SIGNATURE, PREDICT, REQUEST)
# hfspec's default of a setting holds no longer where one of these is said, since they decide the same thing.
GIVES_WAY: Mapping[str, tuple[str, ...]] = MappingProxyType({"max_new_tokens": ("max_length", "max_tokens")})

INT32 = range(-(2**31), 2**31)
INT64 = range(-(2**63), 2**63)


class InForce(NamedTuple):
    """A setting's value in force and the layer of ORDER it came from."""

    value: Any
    origin: str


class Settings(Mapping[str, Any]):
    """The values in force, by name; ``origin`` and ``rank`` say which layer each came from."""

    def __init__(self, layers: Mapping[str, Mapping[str, Any]]) -> None:
        self._inforce = _said(
            {name: InForce(thaw(value), origin) for origin in ORDER for name, value in layers.get(origin, {}).items()}
        )

    def __getitem__(self, name: str) -> Any:
        return self._inforce[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self._inforce)

    def __len__(self) -> int:
        return len(self._inforce)

    def origin(self, name: str) -> str:
        """The layer that ``name`` came from; empty when no layer has it."""
        return self._inforce[name].origin if name in self._inforce else ""

    def rank(self, name: str) -> int:
        """The height of that layer; -1 when no layer has it."""
        return ORDER.index(self._inforce[name].origin) if name in self._inforce else -1

    def over(self, values: Mapping[str, Any], origin: str = REQUEST) -> Settings:
        """These settings with ``values`` laid over them, as from the layer ``origin``."""
        settings = Settings({})
        settings._inforce = _said({**self._inforce, **{name: InForce(value, origin) for name, value in values.items()}})
        return settings

    def fingerprint(self) -> tuple[tuple[str, str], ...]:
        """The names and values, equal for settings with the same values, whichever layers they came from."""
        return tuple((name, repr(inforce.value)) for name, inforce in sorted(self._inforce.items()))

    def table(self) -> dict[str, InForce]:
        """Every setting in force, sorted by name."""
        return dict(sorted(self._inforce.items()))


def _said(inforce: dict[str, InForce]) -> dict[str, InForce]:
    """The settings without hfspec's defaults that another setting takes the place of."""
    gone = {
        name
        for name, others in GIVES_WAY.items()
        if name in inforce
        and inforce[name].origin == HFSPEC_DEFAULT
        and any(other in inforce and inforce[other].origin != HFSPEC_DEFAULT for other in others)
    }
    return {name: value for name, value in inforce.items() if name not in gone}


def layers_of(
    task: Task,
    model_class: str,
    *,
    checkpoint: Mapping[str, Any],
    model_config: Mapping[str, Any],
    signature: Mapping[str, Any],
) -> dict[str, Mapping[str, Any]]:
    """The layers that an artifact fixes, which a plan shows and a predictor uses.

    Args:
        task: The task, whose settings have hfspec's defaults.
        model_class: The model's class; a setting that it cannot use has no default.
        checkpoint: What the checkpoint's own files say.
        model_config: What the spec says.
        signature: The default of each param.

    Returns:
        Layer of ORDER -> its settings, as Settings takes them.
    """
    usable = (setting for setting in task.settings if setting.default is not None and setting.suits(model_class))
    return {
        HFSPEC_DEFAULT: {setting.name: setting.default for setting in usable},
        CHECKPOINT: checkpoint,
        MODEL_CONFIG: model_config,
        SIGNATURE: signature,
    }


def fixed_layers(
    task: Task,
    manifest: Manifest,
    own: Mapping[str, Any],
    config: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Mapping[str, Any]]:
    """The layers below those of a call. ``own``: what the checkpoint states; ``config``: model_config given to load;
    ``defaults``: hfspec's own for this device.
    """
    deployment = manifest.deployment
    layers = layers_of(
        task,
        deployment.model_class,
        checkpoint=own,
        model_config=deployment.model_config,
        signature={param.name: param.default for param in manifest.signature.params},
    )
    ours = {**(defaults or {}), **layers[HFSPEC_DEFAULT], **deployment.defaults}
    return {**layers, HFSPEC_DEFAULT: ours, LOAD: config}


def load_layer(config: Mapping[str, Any] | None, task: Task, signature: Signature) -> dict[str, Any]:
    """The model_config given to load, checked; raises ParamsError."""
    if config is None:
        return {}
    if not isinstance(config, Mapping):
        raise ParamsError(f"model_config must be a mapping of settings to values, not {type(config).__name__}.")
    defaults = {param.name: param for param in signature.params}
    checked = {name: _native(value) for name, value in config.items()}
    for name, value in checked.items():
        _check_setting(name, value, task)
        if name in defaults and thaw(defaults[name].default) != value:
            raise ParamsError(
                f"model_config given to load sets {name} to {value!r}, but the signature declares {name} as a param"
                f" with the default {defaults[name].default!r}, which wins over model_config at every call; give"
                f" params={{{name!r}: {value!r}}} to predict, or change the default in the spec."
            )
    return checked


def predict_layer(
    params: Mapping[str, Any] | None, task: Task, signature: Signature, fixed: set[str]
) -> dict[str, Any]:
    """The params given to predict, checked against the signature; raises ParamsError.

    ``fixed``: the names that model_config sets, which predict cannot change unless the signature declares them.
    """
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise ParamsError(f"params must be a mapping of names to values, not {type(params).__name__}.")
    by_name = {param.name: param for param in signature.params}
    result = {}
    for name, value in params.items():
        if name not in by_name:
            raise ParamsError(_undeclared(name, tuple(by_name), fixed), name)
        result[name] = param_value(by_name[name], _native(value), task.setting(name))
    return result


def protocol_layer(params: Mapping[str, Any] | None, task: Task, signature: Signature) -> dict[str, Any]:
    """Settings that a protocol has keys of its own for, checked; the limits that the signature declares for them hold.

    Raises ParamsError.
    """
    by_name = {param.name: param for param in signature.params}
    result = {}
    for name, value in (params or {}).items():
        setting = task.setting(name)
        if setting is None:
            raise ParamsError(f"{task.name} has no setting {name!r}; leave it out.", name)
        if fault := setting.fault(value):
            raise ParamsError(f"{name}: expected {fault}; found {value!r} ({type(value).__name__}).", name)
        result[name] = param_value(by_name[name], value, setting) if name in by_name else value
    return result


def param_value(param: Param, value: Any, setting: Setting | None) -> Any:
    """The value as the param's type, MLflow's rules: an int is good for a double, nothing else is converted.

    Raises ParamsError for another type or a value outside the limits, choices, or what the setting allows.
    """
    fault = _type_fault(param, value, setting) or _limit_fault(param, value)
    if not fault and setting is not None and setting.fault(value):
        fault = setting.fault(value)
    if fault:
        raise ParamsError(
            f"param {param.name}: expected {fault}; found {value!r} ({type(value).__name__}).", param.name
        )
    if param.type in {"float", "double"} and isinstance(value, int):
        return float(value)
    return value


def _native(value: Any) -> Any:
    """A numpy scalar as Python's own; anything else as it is."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return value.item()
    return value


def _check_setting(name: str, value: Any, task: Task) -> None:
    setting = task.setting(name)
    if setting is None:
        names = tuple(sorted(setting.name for setting in task.settings))
        raise ParamsError(
            f"model_config given to load: {task.name} has no setting {name!r}{_nearest(name, names)};"
            f" its settings are: {', '.join(names)}."
        )
    if fault := setting.fault(value):
        raise ParamsError(
            f"model_config given to load: {name}: expected {fault}; found {value!r} ({type(value).__name__})."
        )


def _undeclared(name: str, names: Sequence[str], fixed: set[str]) -> str:
    remark = f"declared params: {', '.join(sorted(names))}" if names else "the signature declares no params"
    if name in fixed:
        return (
            f"{name!r} is set by model_config only, so predict cannot change it; declare it in the spec's"
            f" signature.params to let callers set it ({remark})."
        )
    return f"{name!r} is not a param of this predictor{_nearest(str(name), names)}; {remark}."


def _nearest(name: str, names: Sequence[str]) -> str:
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _type_fault(param: Param, value: Any, setting: Setting | None) -> str:
    if value is None:
        return "" if setting is not None and "null" in setting.types else f"a value of type {param.type}"
    good = {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": type(value) is int and value in INT32,
        "long": type(value) is int and value in INT64,
        "float": type(value) in {int, float},
        "double": type(value) in {int, float},
    }[param.type]
    return "" if good else f"a value of type {param.type}"


def _limit_fault(param: Param, value: Any) -> str:
    """Null, which lifts a setting's own limit, is good where the spec sets none above, or has it as the default."""
    if value is None:
        return "" if param.default is None else _ceiling(param)
    if param.choices is not None and value not in param.choices:
        return _ceiling(param)
    if param.minimum is not None and not value >= param.minimum:
        return f"at least {param.minimum:g}"
    if param.maximum is not None and not value <= param.maximum:
        return _ceiling(param)
    return ""


def _ceiling(param: Param) -> str:
    """The spec's limit for the param, in words; empty without one."""
    if param.choices is not None:
        return "one of " + ", ".join(repr(choice) for choice in param.choices)
    return "" if param.maximum is None else f"at most {param.maximum:g}"
