"""The parts of a plan that are the same for all libraries: they follow from the spec and its sources alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfspec.checkpoint.golden import golden_examples
from hfspec.checkpoint.resolved_spec import name_of, resolved_spec, source_record
from hfspec.checkpoint.secrets import Cleaned, without_secrets
from hfspec.checkpoint.spec_sources import Sources
from hfspec.ir.artifact import Deployment
from hfspec.ir.canonical import digest_of
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.plan import Plan
from hfspec.tasks.task import Task


def planned(sources: Sources, deployment: Deployment, clean: Cleaned, notes: Sequence[str], **decided: Any) -> Plan:
    """A plan.

    Args:
        sources: The spec and the files of its sources.
        deployment: What the runtime is told.
        clean: The steps, and what they change in files of the sources.
        notes: What a reader should know; empty ones are left out.
        **decided: The other fields, which the library decides; ``steps`` where they are not those of ``clean``.

    Returns:
        The plan.
    """
    spec = sources.spec
    name = name_of(spec, sources.tree)
    document = resolved_spec(spec, name, sources.resolved)
    return Plan(
        **{
            "name": name,
            "spec_document": document,
            "spec_digest": digest_of(thaw(document)),
            "sources": tuple(map(source_record, sources.all)),
            "deployment": deployment,
            "steps": clean.steps,
            "metadata": without_secrets(spec.metadata),
            "input_example": spec.input_example,
            "golden": golden_examples(spec),
            "run": spec.input_example is not None or bool(spec.golden),
            "check_golden": bool(spec.golden),
            "notes": tuple(filter(None, notes)),
            "cleaned": clean.changed,
            "serving": spec.serving.stated(),
            **decided,
        }
    )


def deployed(
    sources: Sources,
    task: Task,
    *,
    model_class: str,
    dtype: str,
    defaults: FrozenDict,
    components: FrozenDict | None = None,
) -> Deployment:
    """The deployment of a model, as the runtime gets it.

    Args:
        sources: The spec and the files of its sources.
        task: The task, of the library that answers.
        model_class: The library's name for what runs.
        dtype: Of the weights as saved.
        defaults: Settings that neither the checkpoint nor the spec says.
        components: Component name -> class name.

    Returns:
        The deployment.
    """
    spec = sources.spec
    options = {name: component.options for name, component in spec.components.given() if component.options}
    return Deployment(
        library=task.library,
        task=task.name,
        task_as_written=spec.task,
        model_class=model_class,
        dtype=dtype,
        outputs=spec.outputs,
        prompt_template=spec.prompt_template,
        model_config=spec.inference,
        defaults=defaults,
        components=components or FrozenDict(),
        options=FrozenDict(options),
        runtime=FrozenDict(spec.runtime.model_dump(exclude_defaults=True)),
        format=spec.format,
    )
