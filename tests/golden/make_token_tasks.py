"""What four pipelines of transformers 4.57 answer, as tests/golden/token_tasks.json: token-classification, fill-mask,
feature-extraction and zero-shot-classification.

Run with transformers 4.57.6 and torch 2.13, on checkpoints made beforehand with the project's own transformers:

    python -c "from pathlib import Path; from tests.checkpoints import make; \
        [make(name, Path('made') / name) for name in ('bert-ner', 'bert-mlm', 'roberta-mlm', 'distilbert-mlm', \
        'bart-mnli', 'bert-nli')]"
    python tests/golden/make_token_tasks.py made
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

TEXTS = [
    "my dog jumps over the zebra in London.",
    "",
    "Zoë eats 漢字 at the café — naïve 🎬 über-long words, 3.14 times; “quotes” too.",
    "None",
]
LONG = "My name is Sarah, and the Quick Brown Fox of Paris eats 42 pizzas. " * 8
TAGGING = [
    {"aggregation_strategy": "none"},
    {"aggregation_strategy": "none", "ignore_labels": []},
    {"aggregation_strategy": "simple"},
    {"aggregation_strategy": "first"},
    {"aggregation_strategy": "average"},
    {"aggregation_strategy": "max"},
]
WINDOWS = {"aggregation_strategy": "simple", "stride": 20}
MASKED = ["the {mask} fox", "{mask}", "  {mask} jumps over   the {mask}, naïve 漢字!"]
FILLING = [{"top_k": 3}, {"targets": ["the", "a"]}]
ASKED = [
    (TEXTS[0], ["animals", "cities", "very happy films"], "This example is {}."),
    (TEXTS[2], ["animals", "animals", "x"], "It is about {}!"),
    ("5", ["alone"], "This example is {}."),
]
INPUTS = {"bert": ["input_ids", "token_type_ids", "attention_mask"]}


def pipeline_of(task: str, folder: Path):
    import transformers

    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        model_max_length=config["model_max_length"],
        model_input_names=INPUTS.get(folder.name.split("-")[0], ["input_ids", "attention_mask"]),
        **{name: value for name, value in config.items() if name.endswith("_token")},
    )
    architecture = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0]
    name = "DistilBertModel" if task == "feature-extraction" else architecture
    model = getattr(transformers, name).from_pretrained(folder)
    return transformers.pipeline(task, model=model, tokenizer=tokenizer, device="cpu")


def tagging(made: Path) -> list[dict]:
    pipe = pipeline_of("token-classification", made / "bert-ner")
    cases = [(text, settings) for settings in TAGGING for text in TEXTS] + [(LONG, WINDOWS)]
    return [{"text": text, "settings": settings, "answer": pipe(text, **settings)} for text, settings in cases]


def filling(made: Path) -> list[dict]:
    cases = []
    for name in ("bert-mlm", "roberta-mlm"):
        pipe = pipeline_of("fill-mask", made / name)
        for settings in FILLING:
            for text in (masked.format(mask=pipe.tokenizer.mask_token) for masked in MASKED):
                found = pipe(text, **settings)
                answer = found if isinstance(found[0], list) else [found]
                cases.append({"checkpoint": name, "text": text, "settings": settings, "answer": answer})
    return cases


def features(made: Path) -> list[dict]:
    pipe = pipeline_of("feature-extraction", made / "distilbert-mlm")
    return [{"text": text, "answer": pipe(text)[0]} for text in TEXTS[:2]]


def zero_shot(made: Path) -> list[dict]:
    cases = []
    for name in ("bart-mnli", "bert-nli"):
        pipe = pipeline_of("zero-shot-classification", made / name)
        for multi_label in (False, True):
            for text, labels, template in ASKED:
                found = pipe(text, labels, hypothesis_template=template, multi_label=multi_label)
                row = {"sequences": text, "candidate_labels": labels, "hypothesis_template": template}
                cases.append({"checkpoint": name, "multi_label": multi_label, "row": row, "answer": found})
    return cases


def plain(value):
    """JSON values: numbers of numpy as Python's, to seven digits."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) or type(value).__module__ == "numpy":
        return round(float(value), 7)
    return value


def main(made: Path) -> None:
    makers = {"token-classification": tagging, "fill-mask": filling}
    makers |= {"feature-extraction": features, "zero-shot-classification": zero_shot}
    lines = [
        f"  {json.dumps(task)}: [\n"
        + ",\n".join("    " + json.dumps(plain(case), ensure_ascii=False) for case in make(made))
        + "\n  ]"
        for task, make in makers.items()
    ]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    Path(__file__).with_name("token_tasks.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
