"""Numbers about data.

Texts of groups (``synth stats``)

- ``batch_statistics``: the measures, and the lengths, words and tokens of one batch
- ``group_statistics``: the data and the report of each group
- ``record_numbers``: numbers of records, summarised for all groups at once
- ``diversity``: diversity of a sample of texts or a sequence of words; Heaps' law
- ``frequencies``: frequencies of token ids, over-represented ones; pattern matches per 1,000 words
- ``significance``: tests between groups

Characteristics of corpora (``synth compare``, ``synth stats --keywords``)

- ``keywords``: words, phrases and openings of sentences that are more frequent in one corpus, with examples
- ``phrase_counts``: counts of a corpus's words, phrases and openings
- ``form``: length, sentences, lists, Markdown and punctuation of documents
- ``mauve``: MAUVE of two sets of vectors

Hashed n-grams and near-duplicates (``synth ngram-hash``)

- ``response``: concentration of a response, divergence of two
- ``ngram_counts``: responses and most frequent n-grams of corpora
- ``duplicates``: near-duplicate pairs and clusters by document

Vectors (``synth embed``)

- ``embedded_records``: records with vectors, of their texts or in a field, and their density
- ``document_map``: groups of documents on a map, and their differences
- ``projection``: projections of vectors to two dimensions, and vectors of documents from their words
- ``two_sample``: differences between two samples of vectors, with permutation p-values

Perplexity (``synth ppl``)

- ``scored_records``: records with their scores, and detection scores for generated text
- ``perplexity``: of a document, and its distribution over a corpus
- ``coverage``: two distributions of perplexity
- ``perplexity_comparison``: corpora, or one corpus under several models, side by side
- ``bootstrap``: intervals from resamples

Shares of generated text (``synth origin``)

- ``origin_estimate``: the share in a corpus, or why it cannot be estimated
- ``labelled_sources``: features of human and synthetic documents, stored in a file; a calibrated classifier
- ``quantification``: the share of a label in a sample, with an interval; the nearest mixture of sources

Comparison of corpora (``synth compare``)

- ``compared_corpus``: the data of a corpus, from one reading
- ``scored_sample``: the beginning of documents under a language model; typical and extreme ones
- ``corpus_comparison``: corpora against a reference, every question
- ``corpus_questions``: the questions, in numbers
- ``effects``: differences with intervals

Tables of runs (``synth table``)

- ``repetitions``: rows of repeated runs as groups, with intervals
- ``claims``: claims about a table, and their verdicts
- ``expressions``: claims as text

Laws of losses (``synth fit``)

- ``laws``: their forms
- ``law_fit``: a law fitted to runs
- ``law_study``: a fit with intervals, held-out error and the optimum

Iterated data (``synth simulate``)

- ``iteration``: linear regression on its own data, simulated
- ``iteration_theory``: the same in closed form
- ``iterated_densities``: normal distributions and kernel estimates of their own samples, simulated and exact

The functions take arrays and streams and return plain dictionaries; they do not access files or the terminal.
"""
