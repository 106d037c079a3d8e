"""The trainer: one loop for every objective.

Records → rows:

- ``documents``: records → documents of a source
- ``conversations``: chats → token ids, and which of them are learned
- ``tokenizer``: a byte-level BPE tokenizer trained from the data
- ``corpus``: documents → token ids on disk, with their boundaries
- ``tokenized_rows``: sources → tokenizer, tokens, rows, shares and weights
- ``token_windows``: rows of a source that is tokenised beside the training
- ``packers``: rows of a batch as a pure function of (seed, step)
- ``unigram``: what the frequencies of the training tokens alone predict

The model and what it minimises:

- ``architectures``: presets for training from scratch
- ``models``: the model that is trained, its adapters, its directory
- ``attention``: keeps the documents of a row apart
- ``head``: the output layer and an objective in one step, in chunks of rows
- ``objectives``: losses as functions of the label's log-odds
- ``unlearn_methods``: the methods of unlearning, their weights and numbers
- ``language_model_task``: next-token prediction as a task of the loop; validation
- ``unlearn_task``: unlearning as a task of the loop: forget, replay, the original model
- ``frozen_model``: the original beside the trained model, its distance, the change negated
- ``steered_states``: rmu, a task of its own
- ``loss_curve``: how soon texts are learned, or learned again
- ``divergence``: a model beside the original on the same documents

The run:

- ``plan``: what a run is asked for, what it amounts to, what comes out, as data
- ``train_run``: a whole run: tokens, model, loop, model directory
- ``unlearn_run``: a whole run of unlearning
- ``forgotten_ledger``: what a model was made to forget
- ``dry_run``: what a run would amount to, before it is made
- ``trainer``: a task trained, validated, logged and saved
- ``loop``: forward, backward, step; the learning rate over steps
- ``stop_rules``: what ends a run before its last step
- ``parallel``: ranks, and parameters sharded over them
- ``sharded_weights``: each rank's rows of new weights, without the whole model
- ``step_cost``: arithmetic and memory of a step

What it leaves:

- ``run_directory``: the directory of a run: empty, begun, or finished with a report
- ``checkpoint``: state on disk, atomic, without pickle
- ``journal``: a line a step, the model's card, the numbers of the report

Nothing here knows a terminal: progress goes out through callbacks.
"""
