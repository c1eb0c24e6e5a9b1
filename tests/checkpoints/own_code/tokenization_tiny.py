"""Words as they stand between spaces, read backwards: no other tokenizer gives these ids."""

from pathlib import Path
from typing import ClassVar

from transformers import PreTrainedTokenizer


class TinyTokenizer(PreTrainedTokenizer):
    vocab_files_names: ClassVar = {"vocab_file": "vocab.txt"}
    model_input_names: ClassVar = ["input_ids", "attention_mask"]

    def __init__(self, vocab_file, **kwargs):
        with Path(vocab_file).open(encoding="utf-8") as file:
            self.vocabulary = {line.rstrip("\n"): index for index, line in enumerate(file)}
        self.names = {index: token for token, index in self.vocabulary.items()}
        super().__init__(**{"unk_token": "[UNK]", "pad_token": "[PAD]", **kwargs})

    @property
    def vocab_size(self):
        return len(self.vocabulary)

    def get_vocab(self):
        return {**self.vocabulary, **self.added_tokens_encoder}

    def _tokenize(self, text):
        return text.lower().split()[::-1]

    def _convert_token_to_id(self, token):
        return self.vocabulary.get(token, self.vocabulary["[UNK]"])

    def _convert_id_to_token(self, index):
        return self.names.get(index, "[UNK]")

    def save_vocabulary(self, save_directory, filename_prefix=None):
        path = Path(save_directory, "vocab.txt")
        path.write_text("".join(f"{token}\n" for token in self.vocabulary), encoding="utf-8")
        return (str(path),)
