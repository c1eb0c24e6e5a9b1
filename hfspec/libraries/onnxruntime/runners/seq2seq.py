"""Texts to texts by the two graphs of an encoder-decoder model."""

from __future__ import annotations

from hfspec.libraries.onnxruntime.encoder_decoder import load_graphs
from hfspec.runtime.generation.decoding import Decoder
from hfspec.runtime.generation.seq2seq import Seq2Seq
from hfspec.runtime.generation.translation import Translation
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.patches.states import Patched, States


class GraphSeq2Seq(Seq2Seq):
    """Summaries, and whatever else an encoder-decoder model makes of one text."""

    def load(self, request: LoadRequest) -> Patched:
        return Patched(load_graphs(request), {})

    def find_decoder(self, request: LoadRequest) -> tuple[Decoder, States]:
        return Decoder(self.model, is_ours=Decoder.knows(self.model)), {}


class GraphTranslation(GraphSeq2Seq, Translation):
    """Texts in other languages."""
