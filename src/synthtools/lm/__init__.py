"""A language model behind one interface: log-probabilities of a text's tokens, answers to prompts, vectors.

Models and tokens:

- ``model_name``: which model, and where its files are
- ``model_settings``: on which devices, and how texts are put to it
- ``open_models``: settings → a model on the backend that they ask for
- ``pretrained``: a name → tokenizer, configuration, weights
- ``model_files``: a model's files, refused where they do not fit or would run code
- ``load_errors``: errors of transformers in one line
- ``gguf``: GGUF files as models
- ``devices``: devices, data types, threads
- ``text_tokenizer``: text ↔ tokens with the exact bytes of each token
- ``tokenizer_faults``: errors and runaway growth in other people's tokenizers
- ``windows``: documents longer than the context as overlapping windows
- ``prefetch``: items computed ahead in a thread of their own

Scoring, generation, vectors:

- ``scores``: what scoring asks for and gives back
- ``scorer``: texts → scores, whatever the backend
- ``generation``: prompts → answers, whatever the backend
- ``chat``: conversations → text or tokens
- ``prompt_tokenizer``: prompts → tokens
- ``token_budget``: what answers cost, and where to stop
- ``kept_values``: answers and scores that are not asked for twice
- ``embedding_model``: texts → vectors, whatever the model

Backends, the only places that know an engine: ``torch/`` (transformers), ``vllm/``, ``server/``

- ``ray_backend``: any of them on a Ray cluster

Nothing here knows records, edits or a terminal.
"""
