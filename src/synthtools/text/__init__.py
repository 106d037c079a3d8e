"""Words, n-grams, hashes and sketches of text: the compiled kernels and their specification.

Everything here is a pure function of UTF-8 buffers (``records.texts.Texts``); nothing here reads a
file or knows what a record is.
"""
