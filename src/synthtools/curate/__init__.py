"""Records chosen, changed or generated.

Chosen:

- ``conditions``: by the values of their fields (``--where``)
- ``weighted_draws``: by weight in one pass, without replacement (Gumbel top-k) or with it
- ``reshaped_records``: fields set; chats and instructions in another shape
- ``sampled_records``: a sample of a stream, and the rest of it, or of each of several groups
- ``top_records``: the highest scores of a stream, for one target or several
- ``dsir``: importance weights of records from hashed n-grams (DSIR)
- ``source_survey``: sizes, keys and places of a source's documents, kept from one reading
- ``kept_token_counts``: numbers of tokens that need not be counted again
- ``mixture_parts``: how much of each source goes into a mixture, which documents, in which order
- ``mixed_records``: the documents of a mixture in their order, in little memory
- ``text_fingerprints``: what makes two texts duplicates: fingerprints of records, paragraphs, lines
- ``fingerprint_store``: fingerprints on disk, for a run or in an index from run to run
- ``shared_index``: the index of several machines, in a Redis store
- ``known_texts``: all texts that a search for duplicates knows, and which are alike
- ``duplicate_clusters``: which text of a cluster is kept, and what that comes to
- ``deduplicated_records``: records without their duplicates, and the duplicates
- ``benchmark_items``: items of benchmarks as sets of n-grams
- ``contamination``: items found in records, weighted by rarity
- ``text_classifier``: a linear classifier of texts by hashed n-grams
- ``held_out_scores``: scores of texts by classifiers trained on others

Changed:

- ``token_edit``: ToEdit: which tokens are resampled, and from what
- ``edited_records``: the edit of a stream of records, with a model or from stored scores
- ``stored_scores``: scores that ``synth ppl --candidates`` wrote, in place of a model

Generated:

- ``templates``: text made of the fields of records
- ``prompts``: prompts made of records
- ``model_shares``: which of several models answers a record
- ``batch_files``: requests and results of OpenAI's batches
- ``beginnings``: the first tokens of documents as prompts (iterative collapse)
- ``passages``: documents cut between sentences, answered to passage by passage and joined
- ``answers``: the answers of a model to a stream of records
- ``answer_scores``: numbers of answers, by which they are accepted or chosen
- ``validators``: rules that an answer is to keep: lengths, expressions, JSON, language, ratings
- ``distinct_texts``: texts that repeat none before them, by the fingerprints of duplicates
- ``selected_answers``: answers that keep the rules, the best of several, none twice; else drawn again
- ``generation_costs``: what answers cost, a budget, an estimate from a few prompts
- ``self_instruct``: new tasks from examples of old ones (Self-Instruct)
- ``rationales``: rationales that reach the right answer (STaR)
- ``concept_graph``: questions from concepts of documents, and along walks through them (SynthLLM)
- ``error_extrapolation``: items like those that a small model got wrong (S3)
"""
