"""Numbers about models.

- ``suites``: the suites by name; a new one is a file here and a row there
- ``session``: what a run lends its suites: models opened once, data, limits, a place for samples
- ``tasks``: tasks from local records; ``tasks/``: those that ship, a JSON file each
- ``likelihood``: endings after prompts, as lm-evaluation-harness cuts them into tokens
- ``choices``: multiple choice; ``calibration``: how far its probabilities can be believed
- ``answering``: written answers; ``sandbox``: programs run apart
- ``harness``: tasks of lm-evaluation-harness on our backends
- ``domains``: perplexity over named domains
- ``self_preference``: of judges; ``comparing``: a live judge; ``agreement``: other judges' preferences
- ``answers``: answers under evaluation, live or out of files; ``asking``: models asked many questions
- ``judging``: judges, their codes and their account; ``judge_prompts``: what they are asked
- ``ifeval``, ``followbench``, ``mt_bench``, ``danger_zone``, ``alpaca_eval``: suites of answers, each with
  its rules beside it (``ifeval_rules``, ``ifeval_text``, ``followbench_rules``, ``length_control``)
- ``estimates``: rates over items with intervals; ``author_files``: files in the authors' formats
- ``differences``, ``pairing``: reports beside each other, models item by item
- ``warning``, ``budget``: the early warning and the guidance of Ratios

A suite is a function (name, session) → section of the report. It opens no file by itself (the session
reads records) and knows no terminal.
"""
