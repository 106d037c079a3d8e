"""Records: the only place that opens data.

A record is one JSON object (a line of JSONL) or one row of Parquet or Arrow. Records flow through
the tools in batches that keep what they were read from, so that a record which is only passed on
leaves as the very bytes it came in as, and an added field touches no other.

- ``inputs``: what the user named (files, directories, stdin) → shards, recognised by content
- ``file_patterns``: files by a pattern with names in braces
- ``compression``: gzip and zstd as bounded streams that notice truncation
- ``reading``: shards → batches, with bad records told or set aside
- ``batch``: the batch, its two forms (JSON lines, Arrow rows), fields added to it
- ``jsonl``: JSON text: parsing with exact reasons, splicing without touching the rest
- ``to_arrow``, ``to_json``: JSON values ↔ Arrow types and columns
- ``schemas``: one schema for tables that differ, and their rows in it
- ``encoders``: batches → JSONL, Parquet or Arrow bytes
- ``size``: where batches are cut into parts of a size
- ``files``: files that stand under their name only when they are whole
- ``outputs``: stdout, a file; ``shard_directory``: a directory, resumable; ``overlap``: kept apart
- ``claim``: one writer an output, as long as it lives
- ``identity``: which record is which, for randomness that no layout changes
- ``rejects``: what happens to bad records
- ``transform``: streams of batches that need no text: the first, some fields

Nothing here knows a tool, a model or a terminal.
"""
