"""Numbers about models. A suite is a function (name, evaluator) → section of the report; it opens no file
by itself (the evaluator reads records) and knows neither options of a command line nor a terminal.

The frame:

- ``suites``: the suites by name; a new one is a file here and a row there
- ``evaluator``: what suites share: options, models opened once, records, limits, the file of samples
- ``estimates``: figures over items with bootstrap intervals

Tasks from records:

- ``tasks``: their definitions; ``tasks/``: those that ship, a JSON file each
- ``choices``: multiple choice; the examples before a question
- ``likelihood``: endings after prompts, as lm-evaluation-harness cuts them into tokens
- ``calibration``: how far probabilities can be believed
- ``generative_tasks``: exact match of written answers, and programs that are run
- ``sandbox``: a program in a process of its own
- ``confinement``: what the kernel forbids that process
- ``harness``: tasks of lm-evaluation-harness on our backends, and their data
- ``domains``: perplexity over named domains

Written answers, judged:

- ``answers``: answers under evaluation, live or from files
- ``answer_suite``: what such suites share: their data, verdicts, which items count, the section, authors' files
- ``judge``: a judge, its codes and its account; failures counted
- ``judge_prompts``: what judges are asked
- ``judge_panel``: several judges as one, and how far they agree
- ``ifeval``: instructions that rules can check, and those rules
- ``followbench``: constraints added level by level
- ``followbench_rules``: the constraints that rules decide
- ``mt_bench``: conversations of two turns, graded
- ``danger_zone``: answers that are good and harmful at once
- ``alpaca_eval``: win rates over a reference
- ``length_control``: win rates as if answers were equally long
- ``self_preference``: whether a judge prefers its own writing
- ``pairwise_judge``: a judge of two texts, by the probability of its first token
- ``agreement``: preferences of other judges

What is left of texts that were to be forgotten:

- ``memorised_text``: their likelihood, and how a model continues them
- ``audit_figures``: figures with intervals, what they say, and what the model is still good for

Reports beside each other:

- ``foreign_results``: results of other programs as reports and samples
- ``differences``: figures of reports; calibration that gets worse before accuracy does (Ratios)
- ``paired_comparison``: models item by item
- ``generations``: drift towards collapse over successive generations
- ``synthetic_shares``: runs at several shares of synthetic data: losses against a budget (Ratios), curves
"""
