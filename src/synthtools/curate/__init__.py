"""Records chosen, changed or generated.

Chosen:

- ``conditions``: by the values of their fields (``--where``)
- ``weighted_draws``: by the highest scores, or by weight without replacement (Gumbel top-k) or with it, in one pass
- ``reshaped_records``: fields set, also from others; chats and instructions in another shape
- ``sampled_records``: a sample of a stream, and the rest of it, or of each of several groups
- ``dsir``: importance weights of records from hashed n-grams (DSIR)
- ``source_survey``: sizes, keys and places of a source's documents, kept from one reading
- ``kept_token_counts``: numbers of tokens that need not be counted again
- ``mixture_parts``: how much of each source goes into a mixture, which documents, in which order
- ``mixed_records``: the documents of a mixture in their order, in little memory
- ``text_fingerprints``: what makes two texts duplicates: fingerprints of records, paragraphs, lines; distinct texts
- ``fingerprint_store``: fingerprints on disk, for a run or in an index from run to run, or of several machines
- ``known_texts``: all texts that a search for duplicates knows, which are alike, and which is kept
- ``deduplicated_records``: records without their duplicates, and the duplicates
- ``contamination``: items of benchmarks as n-grams, found in records, weighted by rarity
- ``text_classifier``: a linear classifier of texts by hashed n-grams; scores of texts held out of its training

Changed:

- ``token_edit``: ToEdit: which tokens are resampled, and from what
- ``edited_records``: the edit of a stream of records, with a model or from stored scores

Generated:

- ``prompts``: prompts made of records, and of their beginnings (iterative collapse)
- ``batch_files``: requests and results of OpenAI's batches
- ``passages``: documents cut between sentences, answered to passage by passage and joined
- ``answers``: the answers of a model to a stream of records, and which of several models answers which
- ``validators``: numbers of answers, and rules that they keep: lengths, expressions, JSON, language, ratings
- ``selected_answers``: answers that keep the rules, the best of several, none twice; else drawn again
- ``generation_costs``: what answers cost, a budget, an estimate from a few prompts
- ``self_instruct``: new tasks from examples of old ones (Self-Instruct)
- ``rationales``: rationales that reach the right answer (STaR)
- ``concept_graph``: questions from concepts of documents, and along walks through them (SynthLLM)
- ``error_extrapolation``: items like those that a small model got wrong (S3)
"""
