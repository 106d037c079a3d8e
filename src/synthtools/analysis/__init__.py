"""Numbers about data.

- ``perplexity``: perplexity of a document from its scores; the distribution over a corpus

Functions here take arrays and streams and give plain dictionaries; they know no files and no terminal.
"""
