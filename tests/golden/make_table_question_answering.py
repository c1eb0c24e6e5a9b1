"""What the table-question-answering pipeline of transformers 4.57 answers, as JSON of the same name.

Run with transformers 4.57.6, torch 2.13 and pandas 2 (with pandas 3 that pipeline fails), on checkpoints made
beforehand with the project's own transformers:

    python -c "from pathlib import Path; from tests.checkpoints import make; \
        [make(name, Path('made') / name) for name in ('tapas-wtq', 'tapas-sqa')]"
    python tests/golden/make_table_question_answering.py made
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

TABLES = {
    "actors": {
        "actors": ["brad pitt", "leonardo di caprio", "george clooney"],
        "age": ["56", "45", "59"],
        "number of movies": ["87", "53", "69"],
        "date of birth": ["7 february 1967", "10 june 1996", "28 november 1967"],
    },
    "cities": {"city": ["Paris", "London", "Zürich", ""], "n/a": ["n/a", "?", "nan", "-3.5"]},
    "one": {"a great film": ["yes"]},
}
QUERIES = [
    "what is the age of brad pitt?",
    "how many movies",
    "total number of movies of actors over 50",
    "who is from Paris or from London?",
    "5",
    "how many movies",
    "None",
]


def answers(made: Path, name: str, table: str, *, sequential: bool) -> list[dict]:
    import pandas as pd
    from transformers import AutoModelForTableQuestionAnswering, TapasTokenizer, pipeline

    tokenizer = TapasTokenizer(str(made / name / "vocab.txt"), model_max_length=128)
    model = AutoModelForTableQuestionAnswering.from_pretrained(made / name)
    pipe = pipeline("table-question-answering", model=model, tokenizer=tokenizer, device="cpu")
    frame = pd.DataFrame(TABLES[table])
    if sequential:
        return pipe(table=frame, query=QUERIES, sequential=True)
    return [pipe(table=frame, query=query) for query in QUERIES]


def main(made: Path) -> None:
    cases = [
        {
            "checkpoint": name,
            "table": table,
            "sequential": several,
            "answers": answers(made, name, table, sequential=several),
        }
        for name in ("tapas-wtq", "tapas-sqa")
        for table in TABLES
        for several in (False, True)
    ]
    lines = ",\n".join(f"  {json.dumps(case, ensure_ascii=False)}" for case in cases)
    given = {"transformers": "4.57.6", "tables": TABLES, "queries": QUERIES}
    head = json.dumps(given, ensure_ascii=False)[:-1]
    Path(__file__).with_suffix("").with_name("table_question_answering.json").write_text(
        f'{head},\n"cases": [\n{lines}\n]}}\n', encoding="utf-8"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
