"""The runners of text, chat and completions over ONNX Runtime's generate()."""

from __future__ import annotations

from hfspec.libraries.onnxruntime_genai.generation import GenaiGeneration
from hfspec.runtime.chat.chat import Chat
from hfspec.runtime.chat.completions import Completions
from hfspec.runtime.generation.text_generation import TextGeneration


class GenaiText(TextGeneration, GenaiGeneration):
    """Continuations of prompts; a conversation goes through the chat template."""


class GenaiChat(Chat, GenaiGeneration):
    """The OpenAI API's chat completions."""


class GenaiCompletions(Completions, GenaiGeneration):
    """The OpenAI API's completions."""
