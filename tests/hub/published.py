"""What the test hub serves: tiny checkpoints under the names of the repositories that the specs use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.hub.repository import read_folder
from tests.hub.server import Hub

OTHER_FORMATS = (
    "tf_model.h5",
    "flax_model.msgpack",
    "pytorch_model.bin",
    "rust_model.ot",
    "onnx/model.onnx",
    "openvino/openvino_model.bin",
    "openvino/openvino_model.xml",
    "coreml/text-classification/float32_model.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
    "coreml/text-classification/float32_model.mlpackage/Manifest.json",
    "training_args.bin",
    ".gitattributes",
)
# Repository -> checkpoint, first digits of the commit that the library's own table of default models names for it,
# files that a compile has no use for.
PUBLISHED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "distilbert/distilbert-base-uncased-finetuned-sst-2-english": ("bert-sentiment", "714eb0f", OTHER_FORMATS),
    "unitary/toxic-bert": ("bert-toxic", "", ("pytorch_model.bin",)),
    "distilbert/distilgpt2": ("gpt2", "", OTHER_FORMATS),
    "openai-community/gpt2": ("gpt2-sharded", "", OTHER_FORMATS),
    "cross-encoder/stsb-roberta-base": ("roberta-stsb", "", ("onnx/model_quint8_avx2.onnx", "pytorch_model.bin")),
    "FacebookAI/roberta-large-mnli": ("roberta-mnli", "", ("tf_model.h5",)),
    "cross-encoder/ms-marco-MiniLM-L6-v2": (
        "ce-msmarco",
        "",
        ("onnx/model.onnx", "flax_model.msgpack", "pytorch_model.bin"),
    ),
    "naver/splade-cocondenser-ensembledistil": ("splade", "", ("pytorch_model.bin",)),
    "intfloat/e5-small-v2": ("minilm-like", "", ("pytorch_model.bin", "onnx/model.onnx")),
    "sentence-transformers/all-MiniLM-L6-v2": ("minilm-like", "", ("data_config.json", "train_script.py")),
    "HuggingFaceTB/SmolLM3-3B": ("llama-chat", "a07cc9a", ()),
    "databricks/dolly-v2-3b": ("dolly", "", ("instruct_pipeline.py", "pytorch_model.bin")),
    "microsoft/DialoGPT-medium": ("dialogpt", "", OTHER_FORMATS),
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": ("llama-chat", "", ("eval_results.json",)),
    "microsoft/Phi-3-mini-4k-instruct": ("phi3-chat", "", ("configuration_phi3.py", "modeling_phi3.py")),
    "Qwen/Qwen2.5-0.5B-Instruct": ("qwen2-to-convert", "", ()),
    "microsoft/Phi-3-mini-4k-instruct-onnx": (
        "genai-phi3-repository",
        "",
        ("cuda/cuda-int4-rtn-block-32/model.onnx", "cuda/cuda-int4-rtn-block-32/model.onnx.data"),
    ),
    "dbmdz/bert-large-cased-finetuned-conll03-english": ("bert-ner", "4c53496", OTHER_FORMATS),
    "distilbert/distilroberta-base": ("roberta-mlm", "fb53ab8", OTHER_FORMATS),
    "distilbert/distilbert-base-cased": ("distilbert-mlm", "6ea8117", OTHER_FORMATS),
    "facebook/bart-large-mnli": ("bart-mnli", "d7645e1", OTHER_FORMATS),
    "distilbert/distilbert-base-cased-distilled-squad": ("distilbert-squad", "564e9b5", OTHER_FORMATS),
    "deepset/roberta-base-squad2": ("roberta-squad2", "", OTHER_FORMATS),
    "facebook/wav2vec2-base-960h": ("wav2vec2-ctc", "22aad52", ("tf_model.h5", "pytorch_model.bin")),
    "openai/whisper-tiny": ("whisper", "", OTHER_FORMATS),
    "superb/wav2vec2-base-superb-ks": ("wav2vec2-keywords", "372e048", ("pytorch_model.bin",)),
    "google/vit-base-patch16-224": ("vit", "3f49326", OTHER_FORMATS),
    "google/tapas-base-finetuned-wtq": ("tapas-wtq", "e3dde19", ("tf_model.h5", "pytorch_model.bin")),
    "sshleifer/distilbart-cnn-12-6": ("bart", "a4f8f3e", OTHER_FORMATS),
    "google-t5/t5-base": ("t5", "a9723ea", OTHER_FORMATS),
    "google-t5/t5-small": ("t5", "", OTHER_FORMATS),
    "declare-lab/flan-alpaca-large": ("t5", "", ("pytorch_model.bin", "training_args.bin")),
    "mrm8488/t5-base-finetuned-common_gen": ("t5", "", ("pytorch_model.bin", "flax_model.msgpack")),
    "facebook/opt-350m": ("opt", "", OTHER_FORMATS),
    "ybelkada/opt-350m-lora": ("opt-lora", "", ()),
    "facebook/nllb-200-distilled-600M": ("nllb", "", ("pytorch_model.bin",)),
}


def publish_all(hub: Hub, checkpoint: Callable[[str], Path]) -> None:
    """Every repository above; an unwanted file has its own name as its content, many times over."""
    for repository, (name, prefix, unwanted) in PUBLISHED.items():
        content = read_folder(checkpoint(name))
        content |= {path: path.encode() * 2000 for path in unwanted}
        hub.publish(repository, content, tag="v1.0", prefix=prefix)
