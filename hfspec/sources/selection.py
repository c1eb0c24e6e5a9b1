"""Which of a source's files a deployment needs, by their names and its lists of them, and why the others are left."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType

from hfspec.errors import SourceError
from hfspec.formats.module_kinds import WITH_A_MODEL
from hfspec.ir.pins import Reader
from hfspec.ir.weight_index import weight_map

CONFIG = "config.json"
PYTHON_CODE = ".py"
ONNX = ".onnx"
TOKENIZER = re.compile(
    r"tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json|vocab\.(txt|json|bpe)|"
    r"vocab-(src|tgt)\.json|(entity|target)_vocab\.json|byte_maps\.json|dict\.txt|emoji\.json|prophetnet\.tokenizer|"
    r"word_(pronunciation|shape)\.json|"
    r"merges\.txt|bpe\.codes|tekken\.json|chat_template\.(jinja|json)|additional_chat_templates/[^/]+\.jinja|"
    r"[^/]+\.(tiktoken|spm|model|vocab)"
)
PROCESSOR = re.compile(r"(preprocessor|processor|image_processor|video_preprocessor|feature_extractor)_config\.json")
# Component -> what must be there, each with the files it may consist of.
COMPONENTS = {
    "tokenizer": (("tokenizer", TOKENIZER),),
    "feature_extractor": (("feature extractor", PROCESSOR),),
    "image_processor": (("image processor", PROCESSOR),),
    "processor": (("processor", PROCESSOR), ("tokenizer", TOKENIZER)),
}
CARD_AND_LICENCES = re.compile(r"README\.md|(LICEN[CS]E|NOTICE|COPYING|USE_POLICY)([._-][^/]*)?", re.IGNORECASE)
SENTENCE_CONFIG = re.compile(r"modules\.json|config_sentence_transformers\.json|sentence_[a-z_-]+_config\.json")
# The formats that can be built from, the best first: one file, or an index with the shards that it names.
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
INDEX = ".index.json"
NO_INDEX: Mapping[str, Collection[str]] = MappingProxyType({})
SENTENCE_MODULE = "sentence_transformers."
MODULES = "modules.json"
TOKENIZER_OF_ADAPTER = "the adapter's own tokenizer; the model's is used"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
REASONS_TO_SKIP = (
    (re.compile(r".*\.(h5|pb|tflite)|saved_model/.*|variables/.*"), "TensorFlow's format"),
    (re.compile(r".*\.msgpack"), "Flax's format"),
    (re.compile(r".*\.ot"), "rust-bert's format"),
    (re.compile(r"(.*/)?coreml/.*|.*\.mlmodel|.*\.mlpackage/.*"), "Core ML's format"),
    (re.compile(r"(.*/)?onnx/.*|.*\.onnx(_data)?"), "ONNX's format"),
    (re.compile(r"(.*/)?openvino/.*|openvino_.*"), "OpenVINO's format"),
    (re.compile(r".*\.gguf"), "llama.cpp's format"),
    (re.compile(r".*\.py"), "code, which is never taken without review"),
    (
        re.compile(r"(.*/)?(training_args|optimizer|scheduler|rng_state|trainer_state|events\.out).*"),
        "left from training",
    ),
    (re.compile(r".*\.(bin|pt|pth|ckpt|pkl|pickle)"), "pickled, and not the weights that are used"),
    (re.compile(r".*\.safetensors(\.index\.json)?"), "not the weights that are used"),
    (re.compile(r"(.*/)?\.git(attributes|ignore)"), "about the repository, not the model"),
)


@dataclass(frozen=True, slots=True)
class Selection:
    """The files of a source that a deployment needs, and the others."""

    needed: tuple[str, ...]
    """Paths, sorted."""
    skipped: tuple[tuple[str, str], ...]
    """The other paths, sorted, each with the reason in a few words."""


def module_folders(modules_json: bytes) -> tuple[str, ...]:
    """The folders that a sentence-transformers ``modules.json`` names.

    Args:
        modules_json: The file's bytes.

    Returns:
        The folders, sorted; the empty one is the source itself.

    Raises:
        ValueError: When it is no list of modules.
    """
    entries = json.loads(modules_json)
    if not isinstance(entries, list):
        raise ValueError("not a list")
    paths = [entry.get("path") if isinstance(entry, dict) else None for entry in entries]
    if not all(isinstance(path, str) for path in paths):
        raise ValueError("a module without a path")
    return tuple(sorted({str(path).strip("/") for path in paths}))


def has_other_modules(modules_json: bytes) -> bool:
    """Look for modules of sentence-transformers that need no model of transformers.

    Args:
        modules_json: A ``modules.json`` that ``module_folders`` can read.

    Returns:
        Whether it names static embeddings, routers or bags of words.
    """
    types = [str(entry.get("type")) for entry in json.loads(modules_json)]
    return any(kind.startswith(SENTENCE_MODULE) and kind.rpartition(".")[2] not in WITH_A_MODEL for kind in types)


def weight_indexes(names: Collection[str], folders: Iterable[str] = ("",)) -> tuple[str, ...]:
    """Name the indexes of weights, which say what the shards are.

    Args:
        names: The paths of the source's files.
        folders: The folders of its modules.

    Returns:
        The indexes in the source itself and in those folders.
    """
    prefixes = sorted({_prefix(folder) for folder in ("", *folders)})
    indexes = (f"{prefix}{single}{INDEX}" for prefix in prefixes for single in WEIGHTS)
    return tuple(index for index in indexes if index in names)


def within(names: Sequence[str], folder: str, where: str) -> Sequence[str]:
    """The files of one folder of a source, with the card and licences at the source's top.

    Args:
        names: The paths of the source's files.
        folder: The folder.
        where: The source's place, with which a message begins.

    Returns:
        The paths.

    Raises:
        SourceError: When the source has no such folder.
    """
    inside = [name for name in names if name.startswith(f"{folder}/")]
    if not inside:
        folders = sorted({str(PurePosixPath(name).parent) for name in names} - {"."})
        choices = ", ".join(folders[:20]) or "none"
        raise SourceError(f"{where} has no folder {folder}; its folders: {choices}.")
    return [*(name for name in names if CARD_AND_LICENCES.fullmatch(name)), *inside]


def select_model(
    names: Collection[str],
    where: str,
    folders: Iterable[str] = ("",),
    *,
    shards: Mapping[str, Collection[str]] = NO_INDEX,
    is_judged_later: bool = False,
    has_graph: bool = False,
) -> Selection:
    """The files of a model: weights in one format only, configs, tokenizer, processors, card and licence.

    Args:
        names: Paths of all files of the source.
        where: The source's place, with which a message begins.
        folders: Those of its modules; the empty one is the source itself, whose configs always count.
        shards: Each index of weights that can be read -> the paths in the source that it names.
        is_judged_later: Whether its modules decide whether it is a model, and a lack of config or weights is no error.
        has_graph: Whether the spec names a graph of the source, beside which there need be no weights.

    Returns:
        The files, and the others with the reason why they are left.

    Raises:
        SourceError: When there is no config or no weights; it lists the files that are there.
    """
    needed = {name for name in names if _is_at_top(name)}
    for prefix in {_prefix(folder) for folder in ("", *folders)}:
        needed |= _in_folder(names, prefix) | _weights(names, prefix, shards)
    if not is_judged_later:
        _check(names, needed, where, has_graph=has_graph)
    return Selection(tuple(sorted(needed)), _skipped(names, needed))


def select_checkpoint(
    names: Sequence[str], reader: Reader, where: str, folders: Iterable[str] = ("",), *, has_graph: bool = False
) -> Selection:
    """The same, with what indexes of weights and modules.json say read.

    Args:
        names: Paths of all files of the source.
        reader: Reads them.
        where: The source's place, with which a message begins.
        folders: Those of its modules.
        has_graph: Whether the spec names a graph of the source, beside which there need be no weights.

    Returns:
        The files, and the others with the reason why they are left.

    Raises:
        SourceError: When there is no config or no weights.
    """
    folders = tuple(folders)
    other = MODULES in names and _has_other_modules(reader)
    shards = _shards(reader, weight_indexes(names, folders))
    return select_model(names, where, folders, shards=shards, is_judged_later=other, has_graph=has_graph)


def select_component(name: str, names: Collection[str], where: str) -> Selection:
    """The files of a component, with the config that says which class it is; a processor's are a tokenizer's as well.

    Args:
        name: The component, a key of ``COMPONENTS``.
        names: Paths of all files of the source.
        where: The source's place, with which a message begins.

    Returns:
        The files, and the others with the reason why they are left.

    Raises:
        SourceError: When there are none; it lists the files that are there.
    """
    needed: set[str] = set()
    for kind, pattern in COMPONENTS[name]:
        files = {path for path in names if pattern.fullmatch(path)}
        if not files:
            raise SourceError(f"{where} has no {kind} files. {_listing(names)}")
        needed |= files
    needed |= {name for name in names if name == CONFIG or CARD_AND_LICENCES.fullmatch(name)}
    return Selection(tuple(sorted(needed)), _skipped(names, needed))


def select_adapter(names: Collection[str], where: str) -> Selection:
    """The files of a PEFT adapter: its config, its weights in one format, card and licence; not its tokenizer.

    Args:
        names: Paths of all files of the source.
        where: The source's place, with which a message begins.

    Returns:
        The files, and the others with the reason why they are left.

    Raises:
        SourceError: When there is no config or no weights; it lists the files that are there.
    """
    weights = [name for name in ADAPTER_WEIGHTS if name in names][:1]
    gaps = [] if ADAPTER_CONFIG in names else [ADAPTER_CONFIG]
    gaps += [] if weights else [f"weights ({' or '.join(ADAPTER_WEIGHTS)})"]
    if gaps:
        what = "a whole model, which belongs under `model`" if CONFIG in names else "no PEFT adapter that can be used"
        raise SourceError(f"{where} is {what}: it has no {' and no '.join(gaps)}. {_listing(names)}")
    needed = {ADAPTER_CONFIG, *weights, *(name for name in names if CARD_AND_LICENCES.fullmatch(name))}
    skipped = _skipped(names, needed)
    return Selection(
        tuple(sorted(needed)),
        tuple((name, TOKENIZER_OF_ADAPTER if TOKENIZER.fullmatch(name) else reason) for name, reason in skipped),
    )


def with_graph(selection: Selection, file: str, where: str, data_of: Callable[[str], Collection[str]]) -> Selection:
    """Add a graph that the spec names.

    Args:
        selection: The selection of the model's files.
        file: The graph's path.
        where: The source's place, with which a message begins.
        data_of: Tells the paths of the files in which a graph keeps its weights.

    Returns:
        The selection with the graph and its data.

    Raises:
        SourceError: When there is no such file; it lists the graphs that are there.
    """
    others = [path for path, _ in selection.skipped]
    if file not in (*selection.needed, *others):
        there = [path for path in others if path.endswith(ONNX)]
        raise SourceError(f"{where} has no file {file}; its graphs: {', '.join(there[:20]) or 'none'}.")
    graph = {file, *data_of(file)}
    added = graph.intersection(others)
    skipped = tuple((path, why) for path, why in selection.skipped if path not in graph)
    return Selection(tuple(sorted({*selection.needed, *added})), skipped)


def with_code(selection: Selection, reviewed: Collection[str]) -> Selection:
    """Add the files of Python code that somebody has reviewed.

    Args:
        selection: The selection of the model's files.
        reviewed: The paths of the reviewed files.

    Returns:
        The selection with those of them that were skipped.
    """
    code = {path for path, _ in selection.skipped if path in reviewed and path.endswith(PYTHON_CODE)}
    skipped = tuple((path, why) for path, why in selection.skipped if path not in code)
    return Selection(tuple(sorted({*selection.needed, *code})), skipped)


def _is_at_top(name: str) -> bool:
    patterns = (CARD_AND_LICENCES, SENTENCE_CONFIG)
    return name == "generation_config.json" or any(pattern.fullmatch(name) for pattern in patterns)


def _prefix(folder: str) -> str:
    return f"{folder}/" if folder else ""


def _in_folder(names: Collection[str], prefix: str) -> set[str]:
    """Configs, tokenizer and processors that lie in this folder."""
    local = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    plain = {
        name
        for name in local
        if name == CONFIG or any(pattern.fullmatch(name) for pattern in (TOKENIZER, PROCESSOR, SENTENCE_CONFIG))
    }
    return {prefix + name for name in plain}


def _weights(names: Collection[str], prefix: str, shards: Mapping[str, Collection[str]]) -> set[str]:
    """The first format that is there. An index none of whose shards are there counts where no other weights are."""
    lone: set[str] = set()
    for single in (f"{prefix}{name}" for name in WEIGHTS):
        index = f"{single}{INDEX}"
        if single in names:
            return {single}
        if index in names:
            there = {index, *(set(shards.get(index, ())) & set(names))}
            if len(there) > 1 or index not in shards:
                return there
            lone = lone or there
    return lone


def _check(names: Collection[str], needed: set[str], where: str, *, has_graph: bool) -> None:
    gaps = []
    if ADAPTER_CONFIG in names and not any(PurePosixPath(name).name == CONFIG for name in names):
        raise SourceError(
            f"{where} holds a PEFT adapter and no model: name it under `adapter`, and its base model here."
        )
    if not any(PurePosixPath(name).name == CONFIG for name in needed):
        gaps.append(CONFIG)
    if not has_graph and not any(
        name.endswith((*WEIGHTS, *(f"{single}{INDEX}" for single in WEIGHTS))) for name in needed
    ):
        gaps.append("weights (model.safetensors, or pytorch_model.bin, or an index with all its shards)")
    if gaps:
        raise SourceError(
            f"{where} cannot be used as a checkpoint: it has no {' and no '.join(gaps)}."
            f" {_elsewhere(names, gaps, where)}{_listing(names)}"
        )


def _elsewhere(names: Collection[str], gaps: Sequence[str], where: str) -> str:
    """The remedy for a source whose checkpoint is in a folder of it, or that is a graph."""
    graph = next((name for name in sorted(names) if name.endswith(ONNX)), "")
    if CONFIG not in gaps:
        return f"It has graphs: write `format: onnx`, and `file: {graph}` under `model`. " if graph else ""
    folders = {path.parent for name in names if (path := PurePosixPath(name)).name == CONFIG}
    outer = sorted(folder.as_posix() for folder in folders if folders.isdisjoint(folder.parents))
    if outer:
        return f"A config.json is in {', '.join(outer[:8])}: name one as the model's `folder`. "
    if graph and "/" not in graph:
        file = f"{PurePosixPath(where).name}/{graph}"
        return f"A graph belongs to the checkpoint in the folder above: name that, and `file: {file}`. "
    return ""


def _listing(names: Collection[str]) -> str:
    paths = sorted(names)
    more = f", and {len(paths) - 20} more" if len(paths) > 20 else ""
    return f"Found there: {', '.join(paths[:20]) or 'no files'}{more}."


def _skipped(names: Collection[str], needed: set[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _reason(name)) for name in sorted(set(names) - needed))


def _reason(name: str) -> str:
    return next((reason for pattern, reason in REASONS_TO_SKIP if pattern.fullmatch(name)), "not used by the library")


def _shards(reader: Reader, indexes: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each index -> the paths in the source that it names. Indexes that cannot be used are left out: plan says why."""
    paths_by_index = {}
    for index in indexes:
        with suppress(ValueError, RecursionError):
            paths = weight_map(json.loads(reader.small(index).read_bytes())).values()
            paths_by_index[index] = tuple((PurePosixPath(index).parent / path).as_posix() for path in paths)
    return paths_by_index


def _has_other_modules(reader: Reader) -> bool:
    """False for a list that cannot be read, too: who reads it says so."""
    try:
        return has_other_modules(reader.small(MODULES).read_bytes())
    except (ValueError, AttributeError, TypeError, RecursionError):
        return False
