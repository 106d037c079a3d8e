"""The torch backend: any model of transformers, on CPUs and GPUs.

- ``torch_engine``: batches of sequences on copies of a model
- ``torch_replica``: one copy on one device: hidden states and scores of a batch
- ``llama``: a plain Llama without transformers
- ``rounded_weights``: weights rounded to few bits, as in a quantised model
- ``token_distribution``: entropy, variance and ranks of the distribution at each token
- ``float32_product``: states × output layer → float32 logits
- ``torch_generator``: prompts → answers, on all devices
- ``torch_decoder``: decoding on one device
- ``decoding_attention``: its key–value cache, and attention to it
- ``token_sampler``: logits → the next token
- ``partial_answer``: an answer during generation
- ``sentence_encoder``: sentence encoders, for vectors only
"""
