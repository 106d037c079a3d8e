"""Numbers about data.

- ``perplexity``: perplexity of a document from its scores; the distribution over a corpus
- ``coverage``, ``two_models``: two distributions of perplexity; one data set under two models
- ``bootstrap``: intervals from resamples
- ``iteration``, ``iteration_theory``: linear regression on its own data, simulated and in closed form

Functions here take arrays and streams and give plain dictionaries; they know no files and no terminal.
"""
