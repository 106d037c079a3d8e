"""Records chosen or changed.

- ``draws``: random numbers that belong to a record and a position
- ``token_edit``: ToEdit: which tokens are resampled, and from what
- ``edited_records``: the edit of a stream of records, with a model or from stored scores
- ``stored_scores``: scores that ``synth ppl --candidates`` wrote, in place of a model
"""
