"""What the question-answering pipeline of transformers 4.57 answers, as tests/golden/question_answering.json.

Run with transformers 4.57.6 and torch 2.13, on checkpoints made beforehand with the project's own transformers:

    python -c "from pathlib import Path; from tests.checkpoints import make; \
        [make(name, Path('made') / name) for name in ('distilbert-squad', 'bert-squad', 'roberta-squad2')]"
    python tests/golden/make_question_answering.py made
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

LONG = (
    "the quick brown fox jumps over the lazy dog and the man with the guitar loves music; it was a long day in London,"
    " the weather was bad, and the river of the city was not so very good for a dog. "
)
ROWS = [
    ("who jumps over the dog?", "the quick brown fox jumps over the lazy dog."),
    ("what was the weather?", LONG),
    ("where is the man?", LONG * 4),
    ("what is the worst film, the best actor and the funny story that you love?" * 2, LONG * 2),
    ("the  film ?", "a   fine\tfilm,\n\nand  so   on  "),
    ("who eats 5 pizzas?", "Zoë eats 漢字 at the café — naïve 🎬🎬 über-long words, 3.14 times; “quotes” too."),
    ("Where is PARIS?", "paris Paris PARIS, London and paris; PARIS!"),
    ("is it?", "yes"),
    ("5", "None"),
    ("why?", "Antidisestablishmentarianism and counterrevolutionaries' unquestionableness " * 6),
]
SETTINGS = [
    {},
    {"top_k": 3},
    {"top_k": 2, "max_answer_len": 4},
    {"align_to_words": False},
    {"handle_impossible_answer": True, "top_k": 2},
    {"max_seq_len": 64, "doc_stride": 16},
    {"max_seq_len": 50, "doc_stride": 3, "top_k": 2, "align_to_words": False, "max_answer_len": 7},
]
INPUTS = {
    "distilbert-squad": ["input_ids", "attention_mask"],
    "bert-squad": ["input_ids", "token_type_ids", "attention_mask"],
    "roberta-squad2": ["input_ids", "attention_mask"],
}


def pipeline_of(folder: Path):
    from transformers import AutoModelForQuestionAnswering, PreTrainedTokenizerFast, pipeline

    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokens = {name: value for name, value in config.items() if name.endswith("_token")}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        model_max_length=config["model_max_length"],
        model_input_names=INPUTS[folder.name],
        **tokens,
    )
    model = AutoModelForQuestionAnswering.from_pretrained(folder)
    return pipeline("question-answering", model=model, tokenizer=tokenizer, device="cpu")


def answers(pipe, question: str, context: str, settings: dict) -> list[dict] | None:
    """None where the pipeline fails: the question leaves a window no room, or less than two windows are to share."""
    try:
        given = pipe(question=question, context=context, **settings)
    except BaseException as error:  # the tokenizer panics, and its panic is no Exception
        if "stride" not in str(error) and "too short" not in str(error):
            raise
        return None
    # Where a context has fewer answers than top_k, the pipeline lists spans of score 0 that end before they begin.
    return [answer for answer in (given if isinstance(given, list) else [given]) if answer["score"] > 0]


def main(made: Path) -> None:
    cases = []
    for name in INPUTS:
        pipe = pipeline_of(made / name)
        for row, (question, context) in enumerate(ROWS):
            for settings in SETTINGS:
                given = answers(pipe, question, context, settings)
                if given is not None:
                    cases.append({"checkpoint": name, "row": row, "settings": settings, "answers": given})
    rows = [{"question": question, "context": context} for question, context in ROWS]
    lines = ",\n".join(f"  {json.dumps(case, ensure_ascii=False)}" for case in cases)
    text = f'{{"transformers": "4.57.6", "rows": {json.dumps(rows, ensure_ascii=False)},\n"cases": [\n{lines}\n]}}\n'
    Path(__file__).with_name("question_answering.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
