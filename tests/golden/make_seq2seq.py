"""What the summarization, text2text-generation and translation pipelines of transformers 4.57 answer, as
tests/golden/seq2seq.json.

Run with transformers 4.57.6 and torch 2.13, on checkpoints made beforehand with the project's own transformers:

    python -c "from pathlib import Path; from tests.checkpoints import make; \
        [make(name, Path('made') / name) for name in ('t5', 'bart', 'mbart', 'nllb', 'm2m100', 'marian')]"
    python tests/golden/make_seq2seq.py made

Two settings are given in each case because the pipelines, against their documentation, let their own default (256 new
tokens, 4 beams) win over what the checkpoint states: max_new_tokens for T5, num_beams for M2M100.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

TEXTS = [
    "hello world, this is a film",
    "the dog",
    "",
    "Translate English to French: I love music!",
    "a fine film with great acting and a wonderful story about Paris, London and the weather",
    "5",
    "None",
    "  'quoted'   text\n",
    "the dog",
]
LONG = ["the quick brown fox jumps over the lazy dog, " * 20, "short"]
T5 = {"max_new_tokens": 14}
PAIRS = {
    "mbart": {"src_lang": "en_XX", "tgt_lang": "ro_RO"},
    "nllb": {"src_lang": "eng_Latn", "tgt_lang": "fra_Latn"},
    "m2m100": {"src_lang": "de", "tgt_lang": "es", "num_beams": 5},
}
CASES = [
    ("t5", "summarization", T5, TEXTS),
    ("t5", "summarization", {**T5, "num_beams": 1, "min_length": 6}, TEXTS),
    ("t5", "summarization", {**T5, "num_return_sequences": 3}, TEXTS),
    ("t5", "summarization", {**T5, "truncation": True}, LONG),
    ("t5", "text2text-generation", T5, TEXTS),
    ("t5", "text2text-generation", {**T5, "repetition_penalty": 1.5, "length_penalty": 0.3}, TEXTS),
    ("t5", "text2text-generation", {**T5, "do_sample": True, "num_beams": 1, "top_k": 20, "seed": 7}, TEXTS),
    ("t5", "text2text-generation", {**T5, "do_sample": True, "temperature": 0.7, "seed": 3}, TEXTS[:3]),
    ("t5", "translation_en_to_fr", T5, TEXTS),
    ("t5", "translation_en_to_de", {**T5, "no_repeat_ngram_size": 2}, TEXTS),
    ("bart", "summarization", {}, TEXTS),
    ("bart", "summarization", {"max_new_tokens": 7, "clean_up_tokenization_spaces": True}, TEXTS),
    ("bart", "summarization", {"truncation": True}, LONG),
    ("bart", "text2text-generation", {}, TEXTS),
    ("mbart", "translation", PAIRS["mbart"], TEXTS),
    ("nllb", "translation", PAIRS["nllb"], TEXTS),
    ("nllb", "translation", {"src_lang": "fra_Latn", "tgt_lang": "deu_Latn", "num_beams": 1}, TEXTS),
    ("m2m100", "translation_en_to_fr", {"num_beams": 5}, TEXTS),
    ("m2m100", "translation", PAIRS["m2m100"], TEXTS),
    ("marian", "translation", {}, [">>fra<< " + text for text in TEXTS] + TEXTS),
]
SLOW = {
    "m2m100": ("M2M100Tokenizer", "vocab.json", "sentencepiece.bpe.model"),
    "marian": ("MarianTokenizer", "source.spm", "target.spm", "vocab.json"),
}
# As the published tokenizers have them among their special tokens.
LANGUAGES = [f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]]


def tokenizer_of(folder: Path):
    import transformers

    limit = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["model_max_length"]
    if folder.name in SLOW:
        files = [str(folder / file) for file in SLOW[folder.name][1:]]
        special = {"additional_special_tokens": LANGUAGES} if folder.name == "m2m100" else {}
        return getattr(transformers, SLOW[folder.name][0])(*files, model_max_length=limit, **special)
    fast = {"mbart": "MBartTokenizerFast", "nllb": "NllbTokenizerFast"}
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokens = {name: value for name, value in config.items() if name.endswith("_token")}
    return getattr(transformers, fast.get(folder.name, "PreTrainedTokenizerFast"))(
        tokenizer_file=str(folder / "tokenizer.json"), model_max_length=limit, **tokens
    )


def answers(folder: Path, task: str, settings: dict, texts: list[str]) -> list[str]:
    import torch
    from transformers import AutoModelForSeq2SeqLM, pipeline

    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    pipe = pipeline(task, model=model, tokenizer=tokenizer_of(folder), device="cpu")
    given = {name: value for name, value in settings.items() if name != "seed"}
    found = []
    for text in texts:
        torch.manual_seed(settings.get("seed", 0))
        found += [next(iter(answer.values())) for answer in pipe(text, **given)]
    return found


def main(made: Path) -> None:
    import torch
    import transformers

    cases = [
        {
            "checkpoint": name,
            "task": task,
            "settings": settings,
            "texts": texts,
            "answers": answers(made / name, task, settings, texts),
        }
        for name, task, settings, texts in CASES
    ]
    result = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "cases": cases}
    target = Path(__file__).with_name("seq2seq.json")
    target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
