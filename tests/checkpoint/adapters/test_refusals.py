"""Adapters that do not fit, and folders that are none: refused when the compile is planned, at the adapter's key."""

from __future__ import annotations

import json
import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

import hfspec
from hfspec.errors import SourceError, SpecError, UsageError, VerificationError
from tests.hostile.sealing import sealed

TASKS = {"gpt2-lora": "text-generation", "sentiment-lora": "text-classification", "topics-lora": "text-classification"}


def config_with(**keys):
    def change(folder):
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))

    return change


def both(*changes):
    def change(folder):
        for one in changes:
            one(folder)

    return change


def tensors_with(change):
    def rewrite(folder):
        path = folder / "adapter_model.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return rewrite


def without(part):
    def drop(tensors):
        for name in [name for name in tensors if part in name]:
            del tensors[name]

    return tensors_with(drop)


def renamed(old, new):
    def rename(tensors):
        for name in [name for name in tensors if old in name]:
            tensors[name.replace(old, new)] = tensors.pop(name)

    return tensors_with(rename)


def halved(tensors):
    for name in tensors:
        if "lora_A" in name:
            tensors[name] = tensors[name][:2].clone()


def resized(tensors):
    tensors["base_model.model.transformer.wte.weight"] = torch.zeros(5000, 32)


LORA = "gpt2-lora"
# What is wrong -> the adapter, the change to it, the code of the problem, words of its message, the task.
WRONG = {
    "unknown type": (LORA, config_with(peft_type="LARO"), "unknown-adapter", "does not know the peft_type", None),
    "no type": (LORA, config_with(peft_type=None), "unknown-adapter", "does not know the peft_type", None),
    "type that needs more": (LORA, config_with(peft_type="XLORA"), "unknown-adapter", "further adapters", None),
    "type of another adapter": (LORA, config_with(peft_type="LOHA"), "broken-checkpoint", "lora_alpha", None),
    "option of a newer peft": (LORA, config_with(use_magic=True), "broken-checkpoint", "use_magic", None),
    "activated by tokens": (LORA, config_with(alora_invocation_tokens=[1]), "unknown-adapter", "aLoRA", None),
    "begun with data": (LORA, config_with(init_lora_weights="corda"), "unknown-adapter", "path_initial_model", None),
    "wrong rank": (LORA, config_with(r=16), "wrong-shape", "the rank r is 16, the tensor's is 4", None),
    "wrong tensors": (LORA, tensors_with(halved), "wrong-shape", "has not the shape", None),
    "rank that is not a number": (LORA, config_with(r="four"), "wrong-tensors", "peft cannot put", None),
    "no such modules": (LORA, config_with(target_modules=["q_proj"]), "adapter-target", "q_proj", None),
    "fewer modules": (LORA, config_with(target_modules=["c_proj"]), "adapter-target", "c_attn", None),
    "a module misspelt": (
        LORA,
        config_with(target_modules=["c_proj", "c_atn"]),
        "adapter-target",
        "targets c_atn",
        None,
    ),
    "more modules": (LORA, config_with(target_modules=["c_attn", "c_proj", "c_fc"]), "missing-tensors", "c_fc", None),
    "tensors elsewhere": (LORA, renamed(".h.1.", ".h.7."), "adapter-target", "transformer.h.7", None),
    "a tensor less": (LORA, without("h.1.attn.c_attn.lora_B"), "missing-tensors", "lora_B", None),
    "no tensors of the head": ("topics-lora", without("classifier"), "missing-tensors", "classifier", None),
    "no head in base or adapter": (
        "topics-lora",
        both(config_with(task_type=None, modules_to_save=None), without("classifier")),
        "task-not-possible",
        "",
        None,
    ),
    "another task": (LORA, config_with(task_type="SEQ_CLS"), "task-not-possible", "another kind of task", None),
    "task of the spec": ("sentiment-lora", None, "task-not-possible", "another kind", "token-classification"),
    "resized vocabulary": (LORA, tensors_with(resized), "wrong-shape", "another vocabulary", None),
    "imports a package": (LORA, config_with(megatron_config={}, megatron_core="os"), "remote-code", "megatron", None),
    "another base": (LORA, config_with(base_model_name_or_path="org/other"), "adapter-base", "another model", None),
    "config no object": (
        LORA,
        lambda folder: (folder / "adapter_config.json").write_text("[]"),
        "",
        "no JSON obj",
        None,
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit(case, own_adapter, spec_with):
    name, change, code, words, task = WRONG[case]
    folder = own_adapter(name)
    if change is not None:
        change(folder)
    spec = spec_with(name, task or TASKS[name], {"path": str(folder)})
    with pytest.raises(SpecError) as caught:
        hfspec.plan(spec)
    problems = caught.value.problems
    assert [problem for problem in problems if code in problem.code and words in str(problem)], problems
    assert all(problem.path[0] in {"adapter", "task", "model"} for problem in problems)
    assert all(problem.origin.line for problem in problems)


def test_all_problems_at_once(own_adapter, spec_with, checkpoint):
    """Of the adapter and of the model, and of more than one kind."""
    folder = own_adapter(LORA)
    config_with(r=16, target_modules=["c_attn", "c_proj", "c_fc"])(folder)
    with pytest.raises(SpecError) as caught:
        hfspec.plan(spec_with(LORA, "text-generation", {"path": str(folder)}))
    assert {problem.code for problem in caught.value.problems} == {"wrong-shape", "missing-tensors"}


SOURCES = {
    "no config": ("adapter_config.json", "no adapter_config.json"),
    "no weights": ("adapter_model.safetensors", "no weights"),
}


@pytest.mark.parametrize("case", SOURCES)
def test_a_folder_with_a_file_less(case, own_adapter, spec_with):
    gone, words = SOURCES[case]
    folder = own_adapter(LORA)
    (folder / gone).unlink()
    with pytest.raises(SourceError, match=words):
        hfspec.plan(spec_with(LORA, "text-generation", {"path": str(folder)}))


def test_a_truncated_file(own_adapter, spec_with):
    path = own_adapter(LORA) / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match="cut short"):
        hfspec.plan(spec_with(LORA, "text-generation", {"path": str(path.parent)}))


def test_a_model_given_as_adapter_and_an_adapter_as_model(adapter, spec_with, checkpoint):
    with pytest.raises(SourceError, match="a whole model, which belongs under `model`"):
        hfspec.plan(spec_with(LORA, "text-generation", {"path": str(checkpoint("gpt2"))}))
    with pytest.raises(SourceError, match="name it under `adapter`"):
        hfspec.plan(spec_with(LORA, "text-generation", adapter=None, model={"path": str(adapter(LORA))}))


UNMERGEABLE = {
    "gpt2-prompt": ("text-generation", "a learned prompt is not a weight"),
    "llama-vera": ("text-generation", "module by module"),
    "mlm-tied-lora": ("fill-mask", "shared with another module"),
}


@pytest.mark.parametrize("name", UNMERGEABLE)
def test_what_cannot_be_merged(name, spec_with):
    task, words = UNMERGEABLE[name]
    with pytest.raises(SpecError) as caught:
        hfspec.plan(spec_with(name, task, {"merge": True}))
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("cannot-merge", ("adapter", "merge"))
    assert words in problem.message


def test_a_prompt_for_a_task_of_tokens(own_adapter, spec_with, checkpoint):
    folder = own_adapter("toxic-prompt")
    config_with(task_type="TOKEN_CLS")(folder)
    spec = spec_with("ner-lora", "token-classification", {"path": str(folder)})
    with pytest.raises(SpecError) as caught:
        hfspec.plan(spec)
    assert "would be among the answers" in str(caught.value)


def test_without_peft(spec_with, tmp_path, monkeypatch):
    spec = spec_with("sentiment-lora", "text-classification")
    artifact = hfspec.compile(spec, output=tmp_path / "artifact")
    import builtins

    real = builtins.__import__

    def refuse(name, *rest, **more):
        if name.split(".")[0] == "peft":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"hfspec\[peft\]"):
        hfspec.plan(spec)
    with pytest.raises(UsageError, match=r"requirements.txt lists \(pip install peft==\d"):
        hfspec.load(artifact.path)


HOSTILE = {
    "another base": {"base_model_name_or_path": "/"},
    "code": {"auto_mapping": {"parent_library": "os", "base_model_class": "system"}},
    "a package": {"megatron_config": {}, "megatron_core": "os"},
    "a file": {"prompt_tuning_init_state_dict_path": "/etc/passwd"},
    "a tokenizer": {"prompt_tuning_init": "TEXT"},
    "further adapters": {"peft_type": "XLORA"},
}


@pytest.fixture(scope="module")
def made(shared_folder, checkpoint, adapter):
    """An artifact with an adapter; copy it."""
    spec = shared_folder / "hostile-adapter.yaml"
    source = {"model": {"path": str(checkpoint("gpt2"))}, "adapter": {"path": str(adapter(LORA))}}
    spec.write_text(json.dumps({"spec_version": 1, "library": "transformers", "task": "text-generation", **source}))
    return hfspec.compile(spec, output=shared_folder / "hostile-adapter").path


@pytest.mark.parametrize("case", HOSTILE)
def test_an_artifact_whose_adapter_leads_elsewhere(case, made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "artifact")
    config_with(**HOSTILE[case])(folder / "adapter")
    with pytest.raises(VerificationError) as caught:
        hfspec.load(sealed(folder))
    assert caught.value.files == ("adapter/adapter_config.json",)


def test_an_artifact_with_a_pickled_adapter(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "artifact")
    (folder / "adapter/adapter_model.safetensors").rename(folder / "adapter/adapter_model.bin")
    with pytest.raises(VerificationError, match="pickled"):
        hfspec.load(sealed(folder))


# How peft begins a LoRA -> whether a load of what it saved gives the same layers.
STARTS = {
    "gaussian": True,
    "orthogonal": True,
    "eva": True,
    "pissa": False,
    "pissa_niter_4": False,
    "olora": False,
    "loftq": False,
}


@pytest.mark.parametrize("start", STARTS)
def test_weights_that_peft_makes_at_load(start, own_adapter, spec_with):
    folder = own_adapter("sentiment-lora")
    config_with(init_lora_weights=start)(folder)
    spec = spec_with("sentiment-lora", "text-classification", {"path": str(folder)})
    if STARTS[start]:
        hfspec.plan(spec)
        return
    with pytest.raises(SpecError) as caught:
        hfspec.plan(spec)
    (problem,) = caught.value.problems
    assert (problem.code, problem.path[0]) == ("unknown-adapter", "adapter")
    assert start in problem.message


@pytest.mark.parametrize("kind", ["OSFConfig", "PsoftConfig"])
def test_layers_that_peft_computes_from_the_base(kind, checkpoint, spec_with, tmp_path):
    import peft
    import transformers

    model = transformers.LlamaForCausalLM.from_pretrained(checkpoint("llama-chat"))
    config = getattr(peft, kind)(task_type="CAUSAL_LM", target_modules=["q_proj"])
    with warnings.catch_warnings(action="ignore"):
        peft.get_peft_model(model, config).save_pretrained(tmp_path / "computed")
    with pytest.raises(SpecError) as caught:
        hfspec.plan(spec_with("llama-vera", "text-generation", {"path": str(tmp_path / "computed")}))
    (problem,) = caught.value.problems
    assert (problem.code, problem.path[0]) == ("unknown-adapter", "adapter")
    assert "computes weights of the adapter from the base's" in problem.message
    assert "name the merged model as `model`" in problem.remedy


@pytest.mark.parametrize("merge", ["llama-shira", "llama-replicated"])
def test_layers_beyond_their_modules_are_not_merged(merge, spec_with):
    with pytest.raises(SpecError) as caught:
        hfspec.plan(spec_with(merge, "text-generation", {"merge": True}))
    assert {problem.code for problem in caught.value.problems} == {"cannot-merge"}


def test_projections_that_are_not_saved(own_adapter, spec_with):
    folder = own_adapter("llama-vera")
    both(config_with(save_projection=False), without("vera_A"), without("vera_B"))(folder)
    with pytest.raises(SpecError) as caught:
        hfspec.plan(spec_with("llama-vera", "text-generation", {"path": str(folder)}))
    assert "save_projection: true" in str(caught.value)


def lora_bias(checkpoint, folder, base, model_class, target):
    import transformers
    from peft import LoraConfig, get_peft_model

    model = getattr(transformers, model_class).from_pretrained(checkpoint(base))
    warnings.simplefilter("ignore")  # that it cannot be merged, and that a bias has one dimension
    config = LoraConfig(
        task_type="CAUSAL_LM", target_modules=[target], lora_bias=True, r=4, fan_in_fan_out=base == "gpt2"
    )
    get_peft_model(model, config).save_pretrained(folder)
    return folder


def test_a_bias_that_peft_cannot_merge(checkpoint, spec_with, tmp_path):
    folder = lora_bias(checkpoint, tmp_path / "biased", "llama-chat", "LlamaForCausalLM", "q_proj")
    given = {"path": str(folder)}
    with pytest.raises(SpecError) as caught:
        hfspec.plan(spec_with("llama-vera", "text-generation", {**given, "merge": True}))
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("cannot-merge", ("adapter", "merge"))
    assert "lora_bias" in problem.message
    hfspec.plan(spec_with("llama-vera", "text-generation", given))


def test_a_bias_that_peft_merges(checkpoint, spec_with, tmp_path):
    folder = lora_bias(checkpoint, tmp_path / "biased", "gpt2", "GPT2LMHeadModel", "c_attn")
    hfspec.plan(spec_with(LORA, "text-generation", {"path": str(folder), "merge": True}))
