"""The conversion of a checkpoint of transformers to ONNX Runtime's generate(), by the library's own model builder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from hfspec.checkpoint.card import card, licence
from hfspec.checkpoint.checkpoint import Checkpoint, ProblemList
from hfspec.checkpoint.examination import examine
from hfspec.checkpoint.generation_config import GENERATION_CONFIG, generation_config
from hfspec.checkpoint.golden import undetermined
from hfspec.checkpoint.heads import stated_architectures
from hfspec.checkpoint.licences import licence_problems
from hfspec.checkpoint.planned import deployed, planned
from hfspec.checkpoint.requirements import installed, requirement_lines, versions
from hfspec.checkpoint.resolved_spec import name_of
from hfspec.checkpoint.secrets import Cleaned, cleaned
from hfspec.checkpoint.settings import SettingLayers, setting_layers, setting_rows
from hfspec.checkpoint.signature import signature
from hfspec.checkpoint.spec_sources import Sources, spec_sources
from hfspec.checkpoint.steps import artifact_steps, memory_bytes, saved_bytes
from hfspec.checkpoint.weights.saving import parameters
from hfspec.errors import HfspecError, SpecError
from hfspec.formats.quantisation import quantisation
from hfspec.ir.artifact import FileRecord
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.pins import Pins, Reader, Resolved, SourcePin
from hfspec.ir.plan import Conversion, Converted, Plan
from hfspec.ir.problem import Problem, one_of
from hfspec.ir.spec_keys import Components, Convert
from hfspec.language.secrets import spec_notes
from hfspec.libraries.onnxruntime_genai import building
from hfspec.libraries.onnxruntime_genai.agreement import Agreement, agreement
from hfspec.libraries.onnxruntime_genai.planning import plan as plan_model
from hfspec.sources.folder import open_folder
from hfspec.tasks.libraries import CONVERTED, LIBRARIES
from hfspec.tasks.table import find
from hfspec.tasks.task import Task

PATH = ("convert",)
# Packages -> the modules that the builder imports, to report the missing ones and the versions that made a model.
NEEDED: Mapping[str, str] = {
    "onnxruntime-genai": "onnxruntime_genai",
    "onnxruntime": "onnxruntime",
    "onnx-ir": "onnx_ir",
}
MADE_BY = (*NEEDED, "torch", "transformers")
INSTALL = "pip install 'hfspec[genai-build]'"
BUILDER = "models/builder.py"
ARCHITECTURES = re.compile(r'config\.architectures\[0\] == "(\w+ForCausalLM)"')
DTYPES = {"fp16": "float16"}
CARDS = ("README.md", "LICENSE")
WEIGHTS = ".safetensors"


def announce(sources: Sources) -> Plan:
    """The plan of a spec with `convert`, as far as it is known before the conversion.

    Args:
        sources: The spec, valid, and the files of its sources.

    Returns:
        The plan of the files to convert, those of an artifact of transformers, with the conversion. Its deployment,
        settings and requirements are those of the converted model.

    Raises:
        SpecError: With every problem of the checkpoint, and every reason why the builder cannot take it.
        SourceError: When a small file cannot be read.
    """
    problems = ProblemList()
    problems.add(*_missing(sources))
    checkpoint = problems.attempt(lambda: examine(sources))
    problems.raise_if_any()
    assert checkpoint is not None, "nothing was examined without a problem"
    task = _task(sources)
    layers = setting_layers(
        sources.spec,
        task,
        sources.model,
        checkpoint.config,
        folder=checkpoint.folder,
        model_class=checkpoint.model_class.name,
        is_code=False,
    )
    if faults := tuple(_problems(sources, checkpoint, task, layers)):
        raise SpecError(faults)
    return _announcement(sources, checkpoint, task, layers)


def convert(sources: Sources, plan: Plan, files: Sequence[FileRecord], folder: Path) -> Converted:
    """Build the model, check it against the checkpoint, and plan the artifact of it.

    Args:
        sources: The spec and the files of its sources.
        plan: The plan of ``announce``.
        files: The records of its files, which are under ``folder``.
        folder: The folder to write in.

    Returns:
        The plan of the artifact.

    Raises:
        SpecError: The model cannot be made, or is too far from the checkpoint.
    """
    options = _convert(sources)
    target = folder / "converted"
    _build(sources, folder / "model", target / "model", options)
    for name in CARDS:
        (folder / name).rename(target / "model" / name)
    try:
        draft, reader = _planned(sources, target / "model")
        result = agreement(replace(draft, golden=plan.golden), _task(sources), target, folder / "model")
    except SpecError:
        raise
    except (HfspecError, RuntimeError) as error:
        raise _refusal(sources, f"the model that the builder made does not run: {error}") from error
    _check(sources, options, result)
    shutil.rmtree(folder / "model")  # as large as the model, and of no more use
    return Converted(
        replace(
            draft,
            spec_document=plan.spec_document,
            spec_digest=plan.spec_digest,
            sources=plan.sources,
            run=plan.run,
            check_golden=plan.check_golden,
            probe=plan.probe,
            notes=(*plan.notes, *draft.notes, _agreement_note(options, result)),
            cleaned=FrozenDict({name: plan.cleaned[name] for name in CARDS if name in plan.cleaned}),
            converted=_account(plan, files, result),
        ),
        {"model": reader},
    )


def _convert(sources: Sources) -> Convert:
    assert sources.spec.convert is not None, "only specs with `convert` come here"
    return sources.spec.convert


def _task(sources: Sources) -> Task:
    """The task of the library that the checkpoint is converted to."""
    task = find(sources.spec.answering, sources.spec.task)
    assert task is not None, "validate lets no unknown task through"
    return task


def _missing(sources: Sources) -> Iterator[Problem]:
    packages = [package for package, module in NEEDED.items() if find_spec(module) is None]
    if packages:
        yield sources.model.problem(
            "conversion-fails",
            f"the model builder needs {', '.join(packages)}, not installed here",
            at=PATH,
            remedy=INSTALL,
        )


def _problems(sources: Sources, checkpoint: Checkpoint, task: Task, layers: SettingLayers) -> Iterator[Problem]:
    spec, tree, files = sources.spec, sources.tree, sources.model
    yield from licence_problems(tree, spec.license_policy, sources.all)
    able, names = architectures(), stated_architectures(checkpoint.config)
    if able and names[:1] and names[0] not in able:
        yield files.problem(
            "conversion-fails",
            "the installed model builder does not know the checkpoint's architecture",
            at=PATH,
            expected=one_of(able),
            found=names[0],
            remedy="remove `convert`, or convert another model",
        )
    if quantisation(checkpoint.config) is not None:
        yield files.problem(
            "conversion-fails",
            "the checkpoint is quantised already, so that its weights cannot be given a precision",
            at=PATH,
            remedy="convert the checkpoint that it was made of",
        )
    yield from _setting_problems(sources, checkpoint, task)
    settings = {**layers.defaults, **layers.generation}
    yield from undetermined(tree, spec, task, signature(spec, task, None), settings)


def _setting_problems(sources: Sources, checkpoint: Checkpoint, task: Task) -> Iterator[Problem]:
    """The problems of the checkpoint's settings that the library cannot take."""
    settings = generation_config(sources.model, checkpoint.folder, sources.task, sources.spec)
    for name, value in sorted(settings.items()):
        setting = task.setting(name)
        if setting is not None and value is not None and (fault := setting.fault(value)):
            yield sources.model.problem(
                "conversion-fails",
                f"{GENERATION_CONFIG}: {task.library} cannot take its {name}",
                at=PATH,
                expected=fault,
                found=repr(value),
                remedy="mend the file at its source, or remove `convert`",
            )


def architectures() -> tuple[str, ...]:
    """The decoders that the installed builder knows, from its source; none where its source has another form."""
    module = find_spec(NEEDED[CONVERTED])
    places = module.submodule_search_locations if module is not None else None
    files = [Path(place) / BUILDER for place in places or ()]
    names = {name for file in files if file.is_file() for name in ARCHITECTURES.findall(file.read_text("utf-8"))}
    return tuple(sorted(names))


def _announcement(sources: Sources, checkpoint: Checkpoint, task: Task, layers: SettingLayers) -> Plan:
    spec, model, options = sources.spec, sources.model, _convert(sources)
    licence_step, licence_note = licence(model)
    steps = (*artifact_steps(sources, checkpoint), card(model, name_of(spec, sources.tree)), licence_step)
    clean, dtype = cleaned(steps, sources.all), DTYPES.get(options.precision, "float32")
    packages = versions(*LIBRARIES[task.library].packages)
    return planned(
        sources,
        deployed(sources, task, model_class=checkpoint.model_class.name, dtype=dtype, defaults=layers.defaults),
        clean,
        tuple(_notes(sources, checkpoint, task, clean, licence_note)),
        signature=signature(spec, task, None),
        parameters=sum(parameters(group) for group in checkpoint.groups),
        weight_bytes=saved_bytes(spec, checkpoint),
        memory_bytes=memory_bytes(spec, checkpoint),
        settings=setting_rows(sources.tree, spec, layers, dtype),
        requirements=requirement_lines(packages),
        versions=packages,
        merging=checkpoint.merging,
        conversion=Conversion(options.to, options.precision, options.execution_provider, installed(MADE_BY)),
    )


def _notes(sources: Sources, checkpoint: Checkpoint, task: Task, clean: Cleaned, licence_note: str) -> Iterator[str]:
    yield from checkpoint.notes
    settings = generation_config(sources.model, checkpoint.folder, sources.task, sources.spec)
    lost = [name for name in sorted(settings) if sources.task.setting(name) and not task.setting(name)]
    if lost:
        yield f"{GENERATION_CONFIG} says {', '.join(lost)}, which {task.library} has no options for: left out."
    yield licence_note
    yield from clean.notes
    yield from spec_notes(sources.tree)


def _build(sources: Sources, source: Path, target: Path, options: Convert) -> None:
    """Run the builder in a process of its own; raises SpecError with its message."""
    command = [sys.executable, "-P", building.__file__, str(source), str(target), options.precision]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    process = subprocess.run(
        [*command, options.execution_provider, str(target.parent / "cache")],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if process.returncode:
        raise _refusal(sources, _reason(process, str(source)))


def _reason(process: subprocess.CompletedProcess[bytes], source: str) -> str:
    if process.returncode < 0:
        return f"its process was ended by signal {-process.returncode}, as it is where memory runs out"
    last = process.stderr.decode("utf-8", errors="replace").strip().splitlines()[-1:]
    try:
        report = json.loads("".join(last))
        reason = f"{report['kind']}: {' '.join(report['message'].split())}"
    except (ValueError, KeyError, TypeError):
        reason = "".join(last) or f"it ended with exit code {process.returncode}"
    return reason.replace(source, "the checkpoint")[:1000]


def _refusal(sources: Sources, reason: str) -> SpecError:
    return sources.model.refusal(
        "conversion-fails",
        f"the model builder of {CONVERTED} makes no model of the checkpoint: {reason}",
        at=PATH,
        remedy="remove `convert`, or convert another model",
    )


def _planned(sources: Sources, folder: Path) -> tuple[Plan, Reader]:
    """The plan of the built model, as if the spec named its folder; and the folder's reader."""
    reader = open_folder("the converted model", folder)
    pin = SourcePin("model", "path", sources.spec.model.location, None, None, reader.files)
    changes = {"convert": None, "library": CONVERTED, "adapter": None, "components": Components()}
    spec = sources.spec.model_copy(update=changes)
    return plan_model(spec_sources(spec, sources.tree, Resolved(Pins((pin,)), {"model": reader}))), reader


def _check(sources: Sources, options: Convert, result: Agreement) -> None:
    """Raises SpecError where the model answers too much unlike the checkpoint."""
    if result.other_prompt:
        raise sources.model.refusal(
            "conversion-differs",
            f"the converted tokenizer reads a prompt otherwise than the checkpoint's: {result.other_prompt[:80]!r}",
            at=PATH,
            remedy="remove `convert`",
        )
    if result.differing > options.most:
        raise sources.model.refusal(
            "conversion-differs",
            "the converted model's likeliest token is another than the checkpoint's at"
            f" {result.tokens - result.same} of {result.tokens} places",
            at=PATH,
            expected=f"at most {options.most:.1%} of them",
            found=f"{result.differing:.1%}",
            remedy="use a higher precision, or allow for it with `convert.tolerance`",
        )


def _agreement_note(options: Convert, result: Agreement) -> str:
    prompts = "one prompt" if result.prompts == 1 else f"{result.prompts} prompts"
    return (
        f"Converted to {options.to}, {options.precision}: after {prompts} of the examples, {result.same} of"
        f" {result.tokens} of the checkpoint's greedy tokens are the converted model's likeliest ones too."
    )


def _account(plan: Plan, files: Sequence[FileRecord], result: Agreement) -> FrozenDict:
    """The manifest's account of the conversion."""
    assert plan.conversion is not None, "only plans with a conversion come here"
    return FrozenDict(
        {
            **plan.conversion.to_json(),
            "weights": {one.path: one.sha256 for one in files if one.path.endswith(WEIGHTS)},
            "agreement": {"prompts": result.prompts, "tokens": result.tokens, "same": result.same},
        }
    )
