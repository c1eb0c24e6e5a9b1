"""The names and types of our generation settings are those of the installed library."""

from __future__ import annotations

import pytest
from transformers import GenerationConfig

from hfspec.tasks import generation
from hfspec.tasks.setting import JSON_TYPES, Setting

CONFIG = GenerationConfig()
SAMPLES = {"integer": 3, "number": 0.5, "boolean": True, "string": "never", "array": [1, 2], "null": None}


@pytest.mark.parametrize(
    "setting", [s for s in generation.SETTINGS if s.name not in generation.OUR_OWN], ids=lambda s: s.name
)
def test_the_library_has_the_setting(setting: Setting) -> None:
    assert hasattr(CONFIG, setting.name)
    default = getattr(CONFIG, setting.name)
    if default is not None:
        wanted = tuple(kind for name in setting.types for kind in JSON_TYPES[name])
        assert isinstance(default, wanted)
        assert setting.fault(default) == ""


@pytest.mark.parametrize("name", sorted(generation.OUR_OWN))
def test_what_is_ours_is_not_the_librarys(name: str) -> None:
    assert not hasattr(CONFIG, name)
    assert any(setting.name == name for setting in generation.SETTINGS)


@pytest.mark.parametrize("setting", generation.SETTINGS, ids=lambda setting: setting.name)
def test_a_value_of_another_type_is_a_fault(setting: Setting) -> None:
    for kind, sample in SAMPLES.items():
        allowed = kind in setting.types or (kind == "integer" and "number" in setting.types)
        if not allowed:
            assert setting.fault(sample), kind


def test_no_setting_is_written_twice() -> None:
    names = [setting.name for setting in generation.SETTINGS]
    assert len(names) == len(set(names))
