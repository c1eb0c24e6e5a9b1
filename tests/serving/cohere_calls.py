"""What Cohere's client does with a server, run by a Python that has it: HFSPEC_COHERE_PYTHON. Prints JSON."""

import json
import sys

import cohere


def main(address, query, texts):
    texts = json.loads(texts)
    second = cohere.ClientV2("no-key", base_url=address, timeout=60)
    first = cohere.Client("no-key", base_url=address, timeout=60)
    made = second.rerank(model="reranker", query=query, documents=texts, top_n=3, max_tokens_per_doc=4096)
    said = {"second": [[one.index, one.relevance_score] for one in made.results], "id": made.id}
    documents = [{"text": text} for text in texts]
    made = first.rerank(model="reranker", query=query, documents=documents, return_documents=True)
    said["first"] = [[one.index, one.relevance_score, one.document.text] for one in made.results]
    for name, asked in (("nobody", texts), ("reranker", [])):
        try:
            second.rerank(model=name, query=query, documents=asked)
        except cohere.core.ApiError as error:
            said[name] = [error.status_code, error.body["message"]]
    print(json.dumps(said))


main(*sys.argv[1:])
