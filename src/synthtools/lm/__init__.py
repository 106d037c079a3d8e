"""A language model behind one interface: log-probabilities of a text's tokens, answers to prompts, vectors.

Models and tokens:

- ``model_name``: which model, and where its files are
- ``model_settings``: the backend, the devices, and how texts become windows
- ``open_models``: settings → a model on the chosen backend
- ``pretrained``: a name → tokenizer, configuration, weights
- ``plain_llama``: the configuration of a plain Llama, read without transformers
- ``plain_tokenizer``: a tokenizer's files, read without transformers
- ``model_files``: checks of a model's files: shapes that do not fit, files that would run code
- ``load_errors``: loading errors of transformers as one line
- ``gguf``: GGUF files as models
- ``devices``: devices, data types, threads
- ``text_tokenizer``: text ↔ tokens with the exact bytes of each token
- ``tokenizer_faults``: crashes and runaway growth in third-party tokenizers
- ``windows``: documents longer than the context as overlapping windows

Scoring, generation, vectors:

- ``scores``: requests, results and the interface of scoring engines
- ``scorer``: texts → scores, with any backend
- ``generation``: prompts → answers, with any backend
- ``chat``: conversations → text or tokens
- ``prompt_tokenizer``: prompts → tokens
- ``token_budget``: token counts, prices, and a budget
- ``kept_values``: answers and scores cached across runs
- ``embedding_model``: texts → vectors

Backends, the only code that knows an engine: ``torch/`` (transformers), ``vllm/``, ``server/``

- ``ray_backend``: any of them on a Ray cluster

Nothing here knows records, edits or a terminal.
"""
