"""Selection, editing and generation of records.

Selected:

- ``conditions``: by values of fields (``--where``)
- ``weighted_draws``: by the highest scores, or by weight without replacement (Gumbel top-k) or with it, in one pass
- ``reshaped_records``: fields set to constants or from others; chats and instructions converted to another shape
- ``sampled_records``: a sample of a stream and its rest, or of each of several groups
- ``dsir``: importance weights of records from hashed n-grams (DSIR)
- ``source_survey``: sizes, keys and positions of a source's documents, from one reading
- ``kept_token_counts``: a cache of numbers of tokens
- ``mixture_parts``: how much of each source goes into a mixture, which documents, in which order
- ``mixed_records``: the documents of a mixture in order, in bounded memory
- ``text_fingerprints``: fingerprints of records, paragraphs and lines for finding duplicates; distinct texts
- ``fingerprint_store``: fingerprints on disk, for one run or in an index, also shared by several machines
- ``known_texts``: all texts of a search for duplicates, their clusters, and which are kept
- ``deduplicated_records``: records without duplicates, and the duplicates
- ``contamination``: benchmark items found in records by n-grams, weighted by rarity
- ``text_classifier``: a linear classifier of texts on hashed n-grams; scores of held-out texts

Edited:

- ``token_edit``: ToEdit: which tokens are resampled, and from what
- ``edited_records``: the edit of a stream of records, with a model or from stored scores

Generated:

- ``prompts``: prompts made from records, and from their beginnings (iterative collapse)
- ``batch_files``: requests and results of OpenAI's batches
- ``passages``: documents split between sentences, answered by passage and joined
- ``answers``: a model's answers to a stream of records, and the assignment of records to several models
- ``validators``: scores of answers and rules for them: lengths, expressions, JSON, language, ratings
- ``selected_answers``: answers that satisfy the rules, the best of several, without repetitions; others are redrawn
- ``generation_costs``: the cost of answers, estimated from a few prompts
- ``self_instruct``: new tasks from examples of old ones (Self-Instruct)
- ``rationales``: rationales that reach the right answer (STaR)
- ``concept_graph``: questions from concepts of documents, and along walks through them (SynthLLM)
- ``error_extrapolation``: items like those that a small model got wrong (S3)
"""
