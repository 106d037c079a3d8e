"""Evaluation of models. A suite is a function (name, evaluator) → section of the report; it opens no files
(the evaluator reads records) and knows nothing of the command line or the terminal.

The frame:

- ``suites``: the suites by name; a new one is a file here and a row there
- ``evaluator``: what suites share: options, models opened once, records, limits, the file of samples
- ``estimates``: figures over items with bootstrap intervals

Tasks from records:

- ``tasks``: their definitions; ``tasks/``: those that ship, a JSON file each
- ``choices``: multiple choice; the examples before a question
- ``likelihood``: endings after prompts, as lm-evaluation-harness cuts them into tokens
- ``calibration``: calibration of probabilities, temperature scaling
- ``generative_tasks``: exact match of generated answers, and generated programs
- ``sandbox``: runs a generated program in a separate process
- ``confinement``: confines that process by the kernel
- ``harness``: tasks of lm-evaluation-harness on our backends, and their data
- ``domains``: perplexity over named domains

Written answers, judged:

- ``answers``: answers under evaluation, live or from files
- ``answer_suite``: shared by these suites: data, verdicts, which items count, the section, authors' files
- ``judge``: a judge, its codes and its account
- ``judge_prompts``: the prompts of judges
- ``judge_panel``: several judges as one, and their agreement
- ``ifeval``: instructions that rules can check, and the rules
- ``followbench``: constraints added level by level
- ``followbench_rules``: the constraints that rules decide
- ``mt_bench``: conversations of two turns, graded
- ``danger_zone``: answers that are both good and harmful
- ``alpaca_eval``: win rates over a reference
- ``length_control``: win rates controlled for length
- ``self_preference``: whether a judge prefers its own writing
- ``pairwise_judge``: a judge of two texts, by the probability of its first token
- ``agreement``: preferences of other judges

Audits of unlearning:

- ``memorised_text``: likelihoods of texts, and how a model continues them
- ``model_audit``: all that is asked of one model
- ``audit_figures``: figures with intervals, findings, remaining utility

Comparison of reports:

- ``foreign_results``: results of other programs as reports and samples
- ``differences``: figures of reports; calibration that gets worse before accuracy (Ratios)
- ``paired_comparison``: models item by item
- ``generations``: drift towards collapse over successive generations
- ``synthetic_shares``: runs at several shares of synthetic data: losses against a budget (Ratios), curves
"""
