"""Numbers about data.

- ``perplexity``: perplexity of a document from its scores; the distribution over a corpus
- ``embedding``: vectors of documents; ``projection``: vectors in two dimensions
- ``two_sample``: what tells two samples of vectors apart, with permutation p-values

Functions here take arrays and streams and give plain dictionaries; they know no files and no terminal.
"""
