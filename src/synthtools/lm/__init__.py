"""A language model behind one interface: log-probabilities of a text's tokens, and candidates.

- ``loading``: a name (built-in, directory, Hub id) → tokenizer, configuration, weights; refusals
- ``tokens``: text ↔ tokens with the exact bytes of each token
- ``windows``: documents longer than the context as overlapping windows
- ``scores``: what scoring asks for and gives back
- ``scorer``: texts → scores, whatever the backend
- ``vectors``: texts → vectors; ``encoders``: models that only give vectors
- ``torch_backend``, ``vllm_backend``, ``server_backend``: the only places that know an engine

Nothing here knows records, edits or a terminal.
"""
