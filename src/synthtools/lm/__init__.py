"""A language model behind one interface: log-probabilities of a text's tokens, answers to prompts, vectors.

Models and tokens:

- ``model_settings``: which model, on which devices, and how texts are put to it
- ``pretrained``: a name (built-in, directory, Hub id) → tokenizer, configuration, weights; refusals
- ``model_files``: a model's configuration and the shapes of its weights, checked against each other
- ``gguf``: GGUF files as models
- ``devices``: which device, and how much memory it has left
- ``text_tokenizer``: text ↔ tokens with the exact bytes of each token
- ``tokenizer_faults``: errors and runaway growth in other people's tokenizers
- ``windows``: documents longer than the context as overlapping windows
- ``prefetch``: items computed ahead in a thread of their own

Scoring, generation, vectors:

- ``scores``: what scoring asks for and gives back
- ``scorer``: texts → scores, whatever the backend
- ``float32_product``: states × output layer → float32 logits
- ``scoring_progress``: how far the scoring of a run is
- ``generation``: prompts → answers, whatever the backend
- ``chat``: conversations → text or tokens
- ``prompt_tokenizer``: prompts → tokens
- ``token_sampler``: logits → the next token
- ``partial_answer``: an answer while it is generated
- ``embedding_model``: texts → vectors, whatever the model
- ``sentence_encoder``: models that only give vectors

Backends, the only places that know an engine:

- ``torch_backend``: scores by transformers, in batches on all devices
- ``torch_replica``: a model of transformers on one device
- ``torch_decoder``: generation by transformers, on one device
- ``torch_generation``: generation by transformers, on all devices
- ``vllm_backend``: scores by vLLM
- ``vllm_generation``: generation by vLLM
- ``server_backend``: scores by OpenAI-compatible servers
- ``server_generation``: generation by OpenAI-compatible servers
- ``server_http``: requests, with answers bounded in size and time
- ``server_pool``: several servers of one model
- ``server_probe``: whether a server scores what it is sent
- ``ray_backend``: any of these backends on a Ray cluster

Nothing here knows records, edits or a terminal.
"""
