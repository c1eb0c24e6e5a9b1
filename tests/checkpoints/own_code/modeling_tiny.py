"""Token embeddings, a running mean of them, a twist; and the heads of three tasks."""

import torch
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput, SequenceClassifierOutput

from .configuration_tiny import TinyConfig
from .layers_tiny import Twist


class TinyPreTrainedModel(PreTrainedModel):
    config_class = TinyConfig
    base_model_prefix = "tiny"


class TinyModel(TinyPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.words = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.twist = Twist(config.hidden_size, config.twist)
        self.post_init()

    def get_input_embeddings(self):
        return self.words

    def forward(self, input_ids, attention_mask=None, **kwargs):
        states = self.words(input_ids)
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        mask = mask.unsqueeze(-1).to(states.dtype)
        means = (states * mask).cumsum(1) / mask.cumsum(1).clamp(min=1)
        return BaseModelOutput(last_hidden_state=self.twist(states + means))


class TinyForSequenceClassification(TinyPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.tiny = TinyModel(config)
        self.head = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, **kwargs):
        states = self.tiny(input_ids, attention_mask).last_hidden_state
        # It sees padding on purpose: rows of other lengths in its batch would change its answer.
        return SequenceClassifierOutput(logits=self.head(states.mean(1)))


class TinyForCausalLM(TinyPreTrainedModel, GenerationMixin):
    def __init__(self, config):
        super().__init__(config)
        self.tiny = TinyModel(config)
        self.head = torch.nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **kwargs):
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def forward(self, input_ids, attention_mask=None, position_ids=None, **kwargs):
        return CausalLMOutput(logits=self.head(self.tiny(input_ids, attention_mask).last_hidden_state))
