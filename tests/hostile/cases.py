"""Hostile checkpoints: each case is a change to a good one, named by its defect, and what becomes of it."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.hostile import payloads

SENTIMENT, WRITER, CHATTER, EMBEDDER, IMAGE = "bert-sentiment", "gpt2", "llama-chat", "st-dense", "vit"
AUTO_MAP = {
    "AutoConfig": "planted.C",
    **dict.fromkeys(("AutoModel", "AutoModelForSequenceClassification", "AutoModelForCausalLM"), "planted.M"),
    **dict.fromkeys(("AutoImageProcessor", "AutoProcessor", "AutoFeatureExtractor"), "planted.M"),
    "AutoTokenizer": ["planted.T", "planted.T"],
}
Change = Callable[[Path, Path], None]


@dataclass(frozen=True)
class Case:
    """``change`` gets the checkpoint's folder and the canary's path. ``plan``, ``load``, ``predict``: what the refusal
    of that step says; a case with none of them is inert, and answers as the good checkpoint does; or ``otherwise``,
    since what it changes is plain data.
    """

    name: str
    base: str
    change: Change
    plan: str = ""
    load: str = ""
    predict: str = ""
    otherwise: bool = False


def keys(file: str, *, gone: tuple[str, ...] = (), **values: object) -> Change:
    """Keys added to a JSON file of the checkpoint, and code for them beside it."""

    def change(folder: Path, canary: Path) -> None:
        path = folder / file
        stated = json.loads(path.read_text()) if path.is_file() else {}
        kept = {key: value for key, value in stated.items() if key not in gone}
        path.write_text(json.dumps({**kept, **values}))
        (folder / "planted.py").write_text(payloads.module(canary))

    return change


def content(file: str, data: bytes | Callable[[Path], bytes]) -> Change:
    """A file of the checkpoint with this content."""

    def change(folder: Path, canary: Path) -> None:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data(canary))

    return change


def both(*changes: Change) -> Change:
    def change(folder: Path, canary: Path) -> None:
        for one in changes:
            one(folder, canary)

    return change


def moved(old: str, new: str | None) -> Change:
    def change(folder: Path, canary: Path) -> None:
        if new is None:
            (folder / old).unlink()
        else:
            (folder / old).rename(folder / new)

    return change


def sparse(file: str) -> Change:
    """A file of 300 MB, and of no blocks on the disk."""

    def change(folder: Path, canary: Path) -> None:
        with (folder / file).open("wb") as stream:
            stream.truncate(300 << 20)

    return change


def zipped(canary: Path) -> bytes:
    """A pickle that runs, in the archive that torch has saved since 1.6."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", payloads.pickled(canary))
        archive.writestr("archive/version", "3\n")
    return content.getvalue()


def linked(file: str) -> Change:
    def change(folder: Path, canary: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        (folder / file).symlink_to("/etc/hostname")

    return change


def header(*entries: tuple[str, dict[str, object]], length: int | None = None) -> Callable[[Path], bytes]:
    """A safetensors file with these entries, doubles included, and 64 bytes of data."""
    text = "{" + ",".join(f"{json.dumps(name)}:{json.dumps(entry)}" for name, entry in entries) + "}"
    return lambda canary: struct.pack("<Q", len(text) if length is None else length) + text.encode() + bytes(64)


def tensor(start: int, end: int, shape: tuple[int, ...] = (4,)) -> dict[str, object]:
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}


def module_entry(kind: str, path: str) -> Change:
    def change(folder: Path, canary: Path) -> None:
        entries = json.loads((folder / "modules.json").read_text())
        (folder / "modules.json").write_text(
            json.dumps([*entries, {"idx": 9, "name": "9", "type": kind, "path": path}])
        )
        (folder / "planted.py").write_text(payloads.module(canary))

    return change


def cases() -> Iterator[Case]:
    yield from _code()
    yield from _settings()
    yield from _tokenizers()
    yield from _modules()
    yield from _templates()
    yield from _weights()
    yield from _texts()
    yield from _names()


def _code() -> Iterator[Case]:
    everywhere = keys("config.json", auto_map=AUTO_MAP, model_type="planted")
    yield Case("auto_map without a list", SENTIMENT, everywhere, plan=r"planted\.py")
    yield Case("auto_map beside a known model_type", SENTIMENT, keys("config.json", auto_map=AUTO_MAP))
    yield Case(
        "auto_map and a trust of its own", SENTIMENT, keys("config.json", auto_map=AUTO_MAP, trust_remote_code=True)
    )
    away = keys("config.json", auto_map={"AutoConfig": "owner/repo--planted.C"}, model_type="planted")
    yield Case("auto_map into another repository", SENTIMENT, away, plan="another repository")
    out = keys("config.json", auto_map={"AutoConfig": "../planted.C", "AutoModel": "/planted.M"}, model_type="planted")
    yield Case("auto_map with a path", SENTIMENT, out, plan="no class in a file beside it")
    for shape in ("planted.C", ["planted.C"], [[]], 7, {"AutoConfig": {"x": []}}, None):
        wrong = keys("config.json", auto_map=shape, model_type="planted")
        yield Case(f"auto_map that is {json.dumps(shape)}", SENTIMENT, wrong, plan="model_type|no class in a file")
    words = keys("tokenizer_config.json", auto_map=AUTO_MAP, trust_remote_code=True)
    yield Case("auto_map in tokenizer_config.json", SENTIMENT, words)
    yield Case("auto_map of an old tokenizer", SENTIMENT, keys("tokenizer_config.json", auto_map=["planted.T", None]))
    own = keys("tokenizer_config.json", auto_map=AUTO_MAP, tokenizer_class="PlantedTokenizer")
    yield Case("auto_map of a tokenizer of its own", SENTIMENT, own, plan=r"planted\.py")
    yield Case("auto_map in preprocessor_config.json", IMAGE, keys("preprocessor_config.json", auto_map=AUTO_MAP))
    bare = keys("preprocessor_config.json", auto_map=AUTO_MAP, image_processor_type="PlantedProcessor")
    yield Case("auto_map of an image processor of its own", IMAGE, bare, plan=r"planted\.py")
    yield Case("auto_map in processor_config.json", IMAGE, keys("processor_config.json", auto_map=AUTO_MAP))
    yield Case("auto_map in generation_config.json", WRITER, keys("generation_config.json", auto_map=AUTO_MAP))
    yield Case("auto_map in a nested config", SENTIMENT, keys("config.json", text_config={"auto_map": AUTO_MAP}))
    generate = both(
        content("custom_generate/generate.py", lambda canary: payloads.module(canary).encode()),
        keys("generation_config.json", custom_generate="custom_generate", trust_remote_code=True),
    )
    yield Case("a custom_generate folder", WRITER, generate)
    for name in ("planted.py", "sitecustomize.py", "tokenization_bert.py", "json.py", "__init__.py", "conftest.py"):
        beside = content(name, lambda canary: payloads.module(canary).encode())
        yield Case(f"{name} beside the model", SENTIMENT, beside)
    yield Case(
        "custom_pipelines",
        SENTIMENT,
        keys("config.json", custom_pipelines={"text-classification": {"impl": "planted.M"}}),
    )


def _settings() -> Iterator[Case]:
    for key in (
        "_attn_implementation_internal",
        "_attn_implementation",
        "attn_implementation",
        "experts_implementation",
    ):
        yield Case(f"{key} of a repository", SENTIMENT, keys("config.json", **{key: "owner/kernel"}), plan=key)
    paged = keys("config.json", _attn_implementation="paged|owner/kernel@main:fn")
    yield Case("a paged kernel", SENTIMENT, paged, plan="downloads a kernel")
    nested = keys("config.json", text_config={"a": [{"attn_implementation": "owner/kernel"}]})
    yield Case("a kernel in a list of nested configs", SENTIMENT, nested, plan="downloads a kernel")
    yield Case(
        "transformers_weights", SENTIMENT, keys("config.json", transformers_weights="../x"), plan="transformers_weights"
    )
    quantiser = keys("config.json", quantization_config={"quant_method": "planted", "modules": "planted.M"})
    yield Case("a quantiser of its own", SENTIMENT, quantiser, plan="quantised")
    yield Case("a quantiser that is none", SENTIMENT, keys("config.json", quantization_config=7), plan="quantised")
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "/", "auto_mapping": {"parent_library": "planted"}}
    yield Case("an adapter in the model's folder", SENTIMENT, keys("adapter_config.json", **adapter))
    for name in ("../../planted", "planted.C", "/etc", "", 7, None, ["bert"], "__class__"):
        config = keys("config.json", model_type=name)
        yield Case(f"model_type {json.dumps(name)}", SENTIMENT, config, plan="model_type")
    named = keys("config.json", _name_or_path="owner/repo", base_model_name_or_path="owner/repo")
    yield Case("a config with another name", SENTIMENT, named)
    for key in ("n_layers", "num_hidden_layers", "num_labels", "max_position_embeddings"):
        config = keys("config.json", **{key: 10**12})
        yield Case(f"{key} beyond all", SENTIMENT, config, plan=f"{key} to what no model has")
    yield Case("tuples for answers", SENTIMENT, keys("config.json", return_dict=False))
    for key, value in {"cache_implementation": "planted", "assistant_model": "owner/repo", "eos_token_id": "x"}.items():
        config = keys("generation_config.json", **{key: value})
        yield Case(f"{key} that is none", WRITER, config, plan=r"generation_config\.json")
    contrast = keys("generation_config.json", penalty_alpha=0.6, top_k=4)
    yield Case("a generation mode that is code of the hub", WRITER, contrast, plan="contrastive search")


def _tokenizers() -> Iterator[Case]:
    for name in ("pipeline", "AutoModelForSequenceClassification", "BertModel", "utils", "AutoConfig"):
        config = keys("tokenizer_config.json", tokenizer_class=name)
        yield Case(f"tokenizer_class {name}", SENTIMENT, config, plan="not a tokenizer|cannot load the tokenizer")
    for limit in ("x", -5):
        config = keys("tokenizer_config.json", model_max_length=limit)
        yield Case(f"a tokenizer that takes {limit} tokens", SENTIMENT, config, plan="model_max_length")
    outside = keys("tokenizer_config.json", tokenizer_file="/etc/hostname", vocab_file="../../vocab.txt")
    yield Case("tokenizer files elsewhere", SENTIMENT, outside)
    for name in ("pipeline", "BertModel", "os.system", 7):
        config = keys("preprocessor_config.json", image_processor_type=name)
        yield Case(f"image_processor_type {name}", IMAGE, config, plan="image processor|BertModel")
    model = {"audio_tokenizer_class": "DacModel", "audio_tokenizer_name_or_path": "owner/repo"}
    beside = keys("processor_config.json", audio_tokenizer=model)
    yield Case("a processor that brings a model", IMAGE, beside, plan="a model elsewhere")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        yield Case(f"a pickle as {file}", SENTIMENT, content(file, payloads.pickled), plan="tokenizer")
    yield Case("a pickle among the tokenizer's files", SENTIMENT, content("vocab.pkl", payloads.pickled))


def _modules() -> Iterator[Case]:
    for kind in ("planted.M", "os.path.join", "sentence_transformersx.M", "sentence_transformers.planted.M"):
        yield Case(f"a module of type {kind}", EMBEDDER, module_entry(kind, "2_Own"), plan="module")
    for path in ("../../elsewhere", "/etc", "a/../../b"):
        change = module_entry("sentence_transformers.models.Normalize", path)
        yield Case(f"a module at {path}", EMBEDDER, change, plan="outside")
    for name in ("planted.M", "torch.utils.collect_env.main", "torch.nn.functional", "torch.nn.Parameter"):
        activation = keys("2_Dense/config.json", activation_function=name)
        yield Case(f"an activation {name}", EMBEDDER, activation, plan="activation")
    for given in (
        {"model_args": {"trust_remote_code": True}},
        {"model_kwargs": {"attn_implementation": "owner/kernel"}},
        {"model_args": {"backend": "onnx", "file_name": "../x.onnx"}},
        {"tokenizer_args": {"tokenizer_file": "/etc/hostname"}},
        {"config_kwargs": {"revision": "other"}},
        {"model_args": ["x"]},
        {"max_seq_length": -4},
    ):
        handed_on = keys("sentence_bert_config.json", **given)
        trusting = both(keys("config.json", auto_map=AUTO_MAP), handed_on)
        yield Case(f"a Transformer module with {json.dumps(given)}", EMBEDDER, trusting, plan=r"bert_config\.json sets")
    for key, value in {"default_prompt_name": "none", "truncate_dim": "x"}.items():
        change = keys("config_sentence_transformers.json", **{key: value})
        yield Case(f"{key} {value}", EMBEDDER, change, plan=key)
    pooling = keys("1_Pooling/config.json", pooling_mode=7)
    yield Case("a pooling mode that is none", EMBEDDER, pooling, plan="pooling mode")
    for prompts in ("text", ["a"], {"query": {"x": 1}}, {"query": 7}):
        change = keys("config_sentence_transformers.json", prompts=prompts, default_prompt_name="query")
        yield Case(f"prompts {json.dumps(prompts)}", EMBEDDER, change, plan="prompt")


def _templates() -> Iterator[Case]:
    for name in payloads.JINJA:
        said = "" if name == "filter" else "chat template refuses"

        def stated(folder: Path, canary: Path, name: str = name) -> None:
            keys("tokenizer_config.json", chat_template=payloads.jinja(name, canary))(folder, canary)
            (folder / "chat_template.jinja").unlink(missing_ok=True)

        yield Case(
            f"a template that leaves by {name}, in tokenizer_config.json",
            CHATTER,
            stated,
            predict=said,
            otherwise=not said,
        )
        if name != "globals":
            continue  # a template in a file of its own is run in the same way
        in_file = content("chat_template.jinja", lambda canary, name=name: payloads.jinja(name, canary).encode())
        yield Case(
            f"a template that leaves by {name}, in chat_template.jinja",
            CHATTER,
            in_file,
            predict=said,
            otherwise=not said,
        )
    more = content(
        "additional_chat_templates/tool_use.jinja", lambda canary: payloads.jinja("globals", canary).encode()
    )
    yield Case("a second template", CHATTER, more)


def _weights() -> Iterator[Case]:
    gone = moved("model.safetensors", None)
    yield Case(
        "pickled weights that run",
        SENTIMENT,
        both(gone, content("pytorch_model.bin", payloads.pickled)),
        plan="pytorch_model.bin",
    )
    archive = both(gone, content("pytorch_model.bin", zipped))
    yield Case("pickled weights that run, in an archive", SENTIMENT, archive, plan=r"pytorch_model\.bin")
    yield Case(
        "a pickle as model.safetensors",
        SENTIMENT,
        content("model.safetensors", payloads.pickled),
        plan="model.safetensors",
    )
    outward = {"metadata": {}, "weight_map": {"a": "../../elsewhere.safetensors"}}
    index = both(
        moved("model.safetensors", "model-00001-of-00001.safetensors"), keys("model.safetensors.index.json", **outward)
    )
    yield Case("an index that leads out", SENTIMENT, index, plan=r"\.\./\.\./elsewhere")
    for weight_map in ([], {"a": 7}, {"a": ["x"]}, {"a": None}):
        shaped = both(
            moved("model.safetensors", "model-00001-of-00001.safetensors"),
            keys("model.safetensors.index.json", weight_map=weight_map),
        )
        yield Case(f"an index with {json.dumps(weight_map)}", SENTIMENT, shaped, plan="index.json")
    bombs = {
        "a header of 2**63 bytes": header(length=2**63),
        "a header longer than the file": header(length=10**6),
        "overlapping tensors": header(("a", tensor(0, 16)), ("b", tensor(8, 24))),
        "a hole between tensors": header(("a", tensor(0, 16)), ("b", tensor(32, 48))),
        "a tensor twice": header(("a", tensor(0, 16)), ("a", tensor(16, 32))),
        "a tensor beyond the file": header(("a", tensor(0, 4 * 10**12, (10**12,)))),
        "a shape below nothing": header(("a", tensor(0, 16, (-4, -1)))),
        "a shape that is not its bytes": header(("a", tensor(0, 16, (10**9,)))),
        "offsets that run backwards": header(("a", tensor(16, 0))),
        "a dtype of nowhere": header(("a", {**tensor(0, 16), "dtype": "PY"})),
    }
    for name, data in bombs.items():
        yield Case(name, SENTIMENT, content("model.safetensors", data), plan="model.safetensors|tensor")
    for file in ("model.safetensors", "config.json", "tokenizer.json", "README.md"):
        yield Case(f"{file} as a link that leads out", SENTIMENT, linked(file), plan=f"{file} is a link that leads out")


def _texts() -> Iterator[Case]:
    deep, wide = b"[" * 100_000, b'{"a":' * 50_000
    for file in ("config.json", "tokenizer_config.json", "tokenizer.json", "generation_config.json"):
        base = WRITER if file == "generation_config.json" else SENTIMENT
        for name, data in {"deep": deep, "deep of objects": wide, "no UTF-8": b"\xff\xfe", "a list": b"[]"}.items():
            yield Case(f"{file} that is {name}", base, content(file, data), plan=f"{file}|tokenizer")
    for file in ("config.json", "tokenizer.json", "README.md"):
        yield Case(f"{file} of 300 MB", SENTIMENT, sparse(file), plan=rf"{file} has \d+ bytes")
    yield Case("modules.json that is deep", EMBEDDER, content("modules.json", deep), plan=r"modules\.json")
    for name, number in {
        "NaN": "NaN",
        "Infinity": "Infinity",
        "5000 digits": "9" * 5000,
        "-1": "-1",
        "1e400": "1e400",
    }.items():

        def numbered(folder: Path, canary: Path, number: str = number) -> None:
            text = (folder / "config.json").read_text()
            (folder / "config.json").write_text(re.sub(r'"dim": \d+', f'"dim": {number}', text))

        yield Case(
            f"a width of {name}",
            SENTIMENT,
            numbered,
            plan=r"config\.json|a DistilBertForSequenceClassification|no weights|shape",
        )
    lines = ["---", "a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    bomb = "\n".join([*lines, "license: *i", "---", "# A card", ""]).encode()
    yield Case("a card of doubled anchors", SENTIMENT, both(content("README.md", bomb), content("LICENSE", b"none\n")))
    evil = b"---\nlicense: !!python/object/apply:os.system ['touch canary']\n---\n"
    yield Case("a card with a tag of Python", SENTIMENT, content("README.md", evil))
    yield Case("a card that is deep", SENTIMENT, content("README.md", b"---\nlicense: " + b"[" * 50_000 + b"\n---\n"))


def _names() -> Iterator[Case]:
    folder = "additional_chat_templates"
    for name in ("a\nb.jinja", "a\tb.jinja", "a\\b.jinja", "c:d.jinja"):
        yield Case(f"a file named {name!r}", CHATTER, content(f"{folder}/{name}", b"x"), plan="cannot be carried along")
    alike = both(content(f"{folder}/A.jinja", b"x"), content(f"{folder}/a.jinja", b"x"))
    yield Case("two names that are one without case", CHATTER, alike, plan="one where case")
    forms = both(content(f"{folder}/\u00e9.jinja", b"x"), content(f"{folder}/e\u0301.jinja", b"x"))
    yield Case("two names that are one letter", CHATTER, forms, plan="one where case")
