"""The trainer: one loop for every objective.

- ``architectures``: presets for training from scratch
- ``tokenizer``: a byte-level BPE tokenizer trained from the data
- ``conversations``: chats → token ids, and which of them are learned
- ``corpus``: documents → token ids on disk, with their boundaries
- ``packing``: rows of a batch as a pure function of (seed, step)
- ``attention``: keeps the documents of a row apart
- ``objectives``: losses as functions of the label's log-odds
- ``head``: the output layer and an objective in one step, in chunks of rows
- ``schedule``: learning rate over steps
- ``models``: the model that is trained, its adapters, its directory
- ``modelling``: next-token prediction as a task of the loop; validation
- ``loop``: the loop
- ``parallel``: ranks, and parameters sharded over them
- ``checkpoint``: state on disk, atomic, without pickle
- ``speed``: arithmetic and memory of a step
- ``run``: a whole run: tokens, model, loop, model directory
- ``journal``: a line a step, and the model's card

Nothing here knows a terminal: progress goes out through callbacks.
"""
