"""The keys of a spec that only models of ONNX Runtime's generate() have."""

from __future__ import annotations

from pydantic import Field

from hfspec.ir.spec import Spec
from hfspec.ir.spec_keys import FolderSource


class OnnxruntimeGenaiSpec(Spec):
    """A model of ONNX Runtime's generate(): text, without torch."""

    model: FolderSource = Field(description="The model: exactly one of repo, path, package.")
