"""Numbers about data.

Texts of groups (``synth stats``)

- ``batch_statistics``: what is measured, and the lengths, words and tokens of one batch
- ``group_statistics``: what is kept of each group, and its report
- ``record_numbers``: numbers that each record has, summed up for all groups at once
- ``diversity``: how varied texts are, of a sample or a sequence of words; Heaps' law
- ``frequencies``: of token ids, with over-represented ones; matches of patterns in 1,000 words
- ``significance``: tests between groups

What tells corpora apart (``synth compare``, ``synth stats --keywords``)

- ``keywords``: words, phrases and openings of sentences that one corpus has more of, with examples
- ``phrase_counts``: counts of a corpus's words, phrases and openings
- ``form``: length, sentences, lists, Markdown and punctuation of documents
- ``mauve``: MAUVE of two sets of vectors

Hashed n-grams and near-duplicates (``synth ngram-hash``)

- ``response``: concentration of a response, divergence of two
- ``ngram_counts``: responses and most frequent n-grams of corpora
- ``duplicates``: near-duplicate pairs and clusters by document

Vectors (``synth embed``)

- ``embedded_records``: records with vectors, of their texts or in a field, and their density
- ``document_map``: groups of documents on a map, and how far they are apart
- ``projection``: vectors in two dimensions, and of documents by their words
- ``two_sample``: differences between two samples of vectors, with permutation p-values

Perplexity (``synth ppl``)

- ``scored_records``: records with their scores, and numbers that tell text of people from text of models
- ``perplexity``: of a document, and its distribution over a corpus
- ``coverage``: two distributions of perplexity
- ``perplexity_comparison``: corpora, or one corpus under several models, side by side
- ``bootstrap``: intervals from resamples

Shares of generated text (``synth origin``)

- ``origin_estimate``: a corpus judged by a calibration: a share, or why there is none
- ``labelled_sources``: documents of two labels as numbers, kept in a file; a calibrated classifier
- ``quantification``: the share of a label in a sample, with an interval; the mixture of sources nearest to it

Corpora, compared (``synth compare``)

- ``compared_corpus``: what is kept of a corpus that is read once
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
- ``law_study``: with intervals, held-out error and what is best

Iterated data (``synth simulate``)

- ``iteration``: linear regression on its own data, simulated
- ``iteration_theory``: the same in closed form
- ``iterated_densities``: normal distributions and kernel estimates of their own samples, both ways

Functions here take arrays and streams and give plain dictionaries; they know no files and no terminal.
"""
