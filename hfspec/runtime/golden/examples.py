"""Runs of an artifact's own examples: its input example, which must get an answer, and its golden ones, which must get
the answer of the spec.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hfspec.errors import PredictionError, VerificationError
from hfspec.integrity.finding import Sources
from hfspec.ir.artifact import Manifest
from hfspec.ir.dtypes import arithmetic_of
from hfspec.ir.golden import GOLDEN, INPUT_EXAMPLE, Difference, Fault, Golden
from hfspec.runtime.golden.difference import differences
from hfspec.runtime.golden.plain_answer import plain_answer
from hfspec.runtime.golden.probing import probe_fault
from hfspec.runtime.predictor import Predictor

SHOWN = 3


def check_examples(
    folder: Path, manifest: Manifest, sources: Sources | None = None, *, trust_remote_code: bool = False
) -> None:
    """Answer every example of the artifact in ``folder``, or a plain input of its task where it has none; ``sources``:
    as for load.

    Raises VerificationError, naming each that fails and where, and the errors of load.
    """
    from hfspec.runtime.load import load

    predictor = load(folder, sources=sources, trust_remote_code=trust_remote_code)
    if not {GOLDEN, INPUT_EXAMPLE} & {record.path for record in manifest.files}:
        if reason := probe_fault(predictor):
            raise VerificationError(f"{folder} does not answer a plain input of {predictor.task.name}: {reason}")
        return
    refuse_faults(predictor, folder)


def refuse_faults(predictor: Predictor, folder: Path) -> None:
    """Answer the examples of the artifact in ``folder``; raises VerificationError naming each that fails."""
    lines = [f"  {line}" for fault in faults(predictor, folder) for line in str(fault).splitlines()]
    if lines:
        raise VerificationError("\n".join([f"{folder} does not answer its own examples as it should:", *lines]))


def check_lines(predictor: Predictor, folder: Path, *, golden: bool) -> Iterator[str]:
    """The failures, as one line of JSON; raises VerificationError after it when there is any."""
    failures = list(faults(predictor, folder, golden=golden))
    yield json.dumps([fault.to_json() for fault in failures], ensure_ascii=False, allow_nan=False)
    if failures:
        raise VerificationError(
            f"{len(failures)} of the artifact's examples {'fails' if len(failures) == 1 else 'fail'}."
        )


def faults(predictor: Predictor, folder: Path, *, golden: bool = True) -> Iterator[Fault]:
    """Every failing example of the artifact in ``folder``, verified already; ``golden``: the golden ones too."""
    example = _stored(folder / INPUT_EXAMPLE)
    if example is not None:
        try:
            plain_answer(predictor, example, None)
        except PredictionError as error:
            yield Fault(None, str(error))
    if golden:
        for place, one in enumerate(read_golden(folder)):
            yield from _golden_faults(predictor, one, place)


def read_golden(folder: Path) -> list[Golden]:
    """The golden examples of a verified artifact; raises VerificationError where the file holds something else."""
    try:
        return [Golden.from_json(one) for one in _stored(folder / GOLDEN) or ()]
    except (TypeError, AttributeError) as error:
        raise VerificationError(f"{folder / GOLDEN} holds no golden examples: {error}.", [GOLDEN]) from error


def ran(folder: Path) -> str:
    """The examples that a check of the artifact has run, in words."""
    count = len(read_golden(folder))
    golden = f"{count} golden example{'' if count == 1 else 's'}, each with its answer" if count else ""
    text = " and ".join(filter(None, ("the input example runs" * (folder / INPUT_EXAMPLE).is_file(), golden)))
    return text or "it has no examples; a plain input of its task was tried, and nothing is wrong"


def tolerance_of(dtype: str) -> float:
    """How far numbers may lie from the expected ones, where the example does not say."""
    return arithmetic_of(dtype).tolerance


def _stored(path: Path) -> Any:
    return json.loads(path.read_bytes()) if path.is_file() else None


def _golden_faults(predictor: Predictor, golden: Golden, place: int) -> Iterator[Fault]:
    document = golden.to_json()
    try:
        answer = plain_answer(predictor, document["input"], document["params"])
    except PredictionError as error:
        yield Fault(place, f"the predictor does not answer it: {error}")
        return
    own = golden.tolerance
    tolerance = tolerance_of(predictor.manifest.deployment.dtype) if own is None else own
    unequal = list(differences(document["output"], answer, tolerance, predictor.task.anew))
    if unequal:
        yield Fault(place, "", tuple(sorted(unequal, key=_greatest_first)[:SHOWN]), len(unequal), tolerance)


def _greatest_first(difference: Difference) -> tuple[bool, float]:
    """The sort key: differences without a size first, then the largest."""
    return (difference.size is not None, -(difference.size or 0.0))
