"""Numbers about data.

- ``perplexity``: perplexity of a document from its scores; the distribution over a corpus
- ``iteration``, ``iteration_theory``: linear regression on its own data, simulated and in closed form

Functions here take arrays and streams and give plain dictionaries; they know no files and no terminal.
"""
