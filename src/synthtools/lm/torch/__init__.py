"""The torch backend: any model of transformers, on CPUs and GPUs.

- ``torch_engine``: batches of sequences on copies of a model
- ``torch_replica``: what a copy on one device does with a batch: hidden states, scores
- ``rounded_weights``: weights of few bits, as a quantised copy has them
- ``token_distribution``: entropy, variance and ranks of the distribution at each token
- ``float32_product``: states × output layer → float32 logits
- ``torch_generator``: prompts → answers, on all devices
- ``torch_decoder``: token by token, on one device
- ``token_sampler``: logits → the next token
- ``partial_answer``: an answer while it is generated
- ``sentence_encoder``: models that only give vectors
"""
