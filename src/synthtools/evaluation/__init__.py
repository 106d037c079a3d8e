"""Numbers about models.

- ``suites``: the suites by name; a new one is a file here and a row there
- ``session``: what a run lends its suites: models opened once, data, limits, a place for samples
- ``domains``: perplexity over named domains

A suite is a function (name, session) → section of the report. It opens no file by itself (the session
reads records) and knows no terminal.
"""
