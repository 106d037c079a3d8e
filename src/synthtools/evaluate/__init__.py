"""Numbers about models. A suite is a function (name, evaluator) → section of the report; it opens no file
by itself (the evaluator reads records) and knows neither options of a command line nor a terminal.

The frame:

- ``suites``: the suites by name; a new one is a file here and a row there
- ``evaluator``: what suites share: options, models opened once, records, limits
- ``samples``: the file of what a model did with each item
- ``estimates``: rates over items with bootstrap intervals

Tasks from records:

- ``tasks``: their definitions; ``tasks/``: those that ship, a JSON file each
- ``shots``: examples before a question
- ``choices``: multiple choice
- ``likelihood``: endings after prompts, as lm-evaluation-harness cuts them into tokens
- ``calibration``: how far probabilities can be believed
- ``generative_tasks``: exact match of written answers, and programs that are run
- ``sandbox``: a program in a process of its own
- ``confinement``: what the kernel forbids that process
- ``harness``: tasks of lm-evaluation-harness on our backends
- ``harness_data``: where the items of such a task lie on disk
- ``domains``: perplexity over named domains

Written answers, judged:

- ``answers``: answers under evaluation, live or from files
- ``answer_suite``: what such suites share: their data, verdicts, which items count, the section
- ``judge``: a judge, its codes and its account; failures counted
- ``judge_prompts``: what judges are asked
- ``judge_panel``: several judges as one, and how far they agree
- ``author_files``: files in the formats of the benchmarks' authors
- ``ifeval``: instructions that rules can check
- ``ifeval_rules``: those rules
- ``ifeval_text``: how they count words and sentences, and detect languages
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
- ``task_utility``: what the model is still good for
- ``audit_figures``: figures with intervals, and what they say

Reports beside each other:

- ``foreign_results``: results of other programs as reports and samples
- ``differences``: figures of reports
- ``paired_comparison``: models item by item
- ``early_warning``: calibration that gets worse before accuracy does (Ratios)
- ``generations``: drift towards collapse over successive generations
- ``budget``: how much synthetic data a loss allows (Ratios)
- ``mixtures``: the form of a loss over shares of synthetic data
"""
