"""The trainer: one loop for every objective.

- ``architectures``: presets for training from scratch
- ``tokenizer``: a byte-level BPE tokenizer trained from the data
- ``corpus``: records → token ids on disk, with document boundaries
- ``packing``: rows of a batch as a pure function of (seed, step)
- ``objectives``: losses as functions of the label's log-odds
- ``head``: the output layer and an objective in one step, in chunks of rows
- ``schedule``: learning rate over steps
- ``loop``: the loop
- ``checkpoint``: state on disk, atomic, without pickle
- ``pretrain``: a whole run: corpus, model, loop, model directory and card

Nothing here knows a terminal: progress goes out through a callback.
"""
