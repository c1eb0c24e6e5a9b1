"""The config of an architecture that no library has."""

from transformers import PreTrainedConfig


class TinyConfig(PreTrainedConfig):
    model_type = "tiny-of-our-own"

    def __init__(self, vocab_size=100, hidden_size=16, num_hidden_layers=1, twist=2.0, **kwargs):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.twist = twist
        super().__init__(**kwargs)
