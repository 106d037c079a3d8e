"""Numbers about data.

- ``perplexity``: perplexity of a document from its scores; the distribution over a corpus
- ``scored_records``: a stream of records scored by a model
- ``perplexity_comparison``: corpora, or one corpus under several models, side by side
- ``embedding``: vectors of documents; ``projection``: vectors in two dimensions
- ``two_sample``: what tells two samples of vectors apart, with permutation p-values
- ``coverage``, ``two_models``: two distributions of perplexity; one data set under two models
- ``bootstrap``: intervals from resamples
- ``iteration``, ``iteration_theory``: linear regression on its own data, simulated and in closed form

Functions here take arrays and streams and give plain dictionaries; they know no files and no terminal.
"""
