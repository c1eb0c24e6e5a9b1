"""What the text-generation pipeline of transformers 4.57 answers to prompts and to conversations, as
tests/golden/generation.json.

Run with transformers 4.57.6 and torch 2.13, on checkpoints made beforehand with the project's own transformers:

    python -c "from pathlib import Path; from tests.checkpoints import make; \
        [make(name, Path('made') / name) for name in ('gpt2', 'llama-chat', 'qwen-chat', 'phi3-chat', 'dialogpt')]"
    python tests/golden/make_generation.py made

do_sample and max_new_tokens are always given, because the pipeline's own defaults are others. So is
clean_up_tokenization_spaces: unless told otherwise that pipeline takes the spaces before full stops out of every
answer, whatever the tokenizer says.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

PROMPTS = ["hello", "the house on the hill was sold", "5", "None", "数 ☕", "  spaces  ", "hello"]
HELLO = {"role": "user", "content": "hello"}
CHATS = [
    [HELLO],
    [{"role": "system", "content": "be brief"}, {"role": "user", "content": "who bought the house?"}],
    [HELLO, {"role": "assistant", "content": "yes?"}, {"role": "user", "content": "None"}],
    [{"role": "user", "content": "user"}],
    [HELLO],
]
GREEDY = {"do_sample": False, "max_new_tokens": 12}
SAMPLED = {"do_sample": True, "max_new_tokens": 12, "temperature": 1.3, "top_k": 20, "seed": 5}
CASES = [
    (name, settings, rows)
    for name in ("gpt2", "llama-chat", "qwen-chat", "phi3-chat", "dialogpt")
    for settings in (GREEDY, SAMPLED, {**GREEDY, "num_beams": 2, "repetition_penalty": 1.2})
    for rows in ([PROMPTS] if name == "gpt2" else [PROMPTS, CHATS])
]


def tokenizer_of(folder: Path):
    from transformers import PreTrainedTokenizerFast

    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokens = {name: value for name, value in config.items() if name.endswith("_token") and value is not None}
    template = folder / "chat_template.jinja"
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        model_max_length=config["model_max_length"],
        clean_up_tokenization_spaces=False,
        chat_template=template.read_text(encoding="utf-8") if template.is_file() else None,
        **tokens,
    )


def answers(folder: Path, settings: dict, rows: list) -> list[str]:
    """The whole text for a prompt, the assistant's for a conversation."""
    import torch
    from transformers import AutoModelForCausalLM, pipeline

    model = AutoModelForCausalLM.from_pretrained(folder)
    pipe = pipeline("text-generation", model=model, tokenizer=tokenizer_of(folder), device="cpu")
    given = {name: value for name, value in settings.items() if name != "seed"}
    found = []
    for row in rows:
        torch.manual_seed(settings.get("seed", 0))
        (answer,) = pipe(row, clean_up_tokenization_spaces=False, **given)
        text = answer["generated_text"]
        found.append(text if isinstance(text, str) else text[-1]["content"])
    return found


def main(made: Path) -> None:
    import torch
    import transformers

    cases = [
        {"checkpoint": name, "settings": settings, "rows": rows, "answers": answers(made / name, settings, rows)}
        for name, settings, rows in CASES
    ]
    result = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "cases": cases}
    target = Path(__file__).with_name("generation.json")
    target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
