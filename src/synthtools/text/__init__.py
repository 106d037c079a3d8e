"""Words, n-grams, hashes and sketches of text: the compiled kernels and their tables.

- ``tokeniser``: tokens and the fast hash
- ``words``: words by Unicode's rules (UAX 29)
- ``unicode``: the tables of Unicode 14.0
- ``ngram_buckets``: hashed n-grams: counts in buckets, sums of weights
- ``sha``: SHA-1 and SHA-256 of eight messages at once
- ``heavy_hitters``: the most frequent n-grams, exactly or in bounded memory
- ``frequent_ngrams``: hashed n-gram counts and frequent n-grams in one pass
- ``grouped_counts``: counts of values by group, and their growth
- ``phrases``: words, phrases and openings of sentences, by token and by document
- ``languages``: the language of a text (langdetect, frequent words)
- ``layout``: lines, lists, headings, sentences and punctuation of texts
- ``lexical_richness``: type-token ratio, MTLD, HD-D and entropy of words
- ``sentences``: sentences, and the tokens that texts and sentences begin with
- ``self_bleu``: self-BLEU in linear time, on tokens of sacreBLEU's "13a"
- ``rank_sums``: rank sums of two samples
- ``rouge``: ROUGE-L
- ``minhash``: MinHash signatures
- ``near_duplicates``: pairs of near-duplicates by locality-sensitive hashing
- ``shingles``: hashed shingles, of words or characters; MinHash signatures with the fast hash
- ``fingerprints``: fingerprints of texts, paragraphs and lines, to find equal ones
- ``word_ngrams``: word n-grams that survive reformatting, and occurrences of a list of them
- ``similar_clusters``: clusters of similar texts, in linear time
- ``density_sketch``: the number of vectors near a vector

What they compute is defined in plain Python by ``tests/kernel_reference.py``. Everything here is a pure function of
UTF-8 buffers (``records.text_buffer.TextBuffer``) or arrays; nothing here reads a file or knows what a record is.
"""
