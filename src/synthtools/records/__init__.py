"""Records: the only place that opens data.

A record is one JSON object (a line of JSONL) or one row of Parquet or Arrow; CSV, arrays and plain text become lines of JSONL as they are read. Records flow through
the tools in batches that keep what they were read from, so that an unmodified record is written byte
for byte, and an added field touches no other.

Inputs:

- ``inputs``: what the user named (files, directories, stdin) → shards
- ``shard_file``: a shard opened, recognised by its content
- ``input_format``: what files are read as: by name, or as the user says
- ``file_patterns``: files by a pattern with names in braces
- ``remote_paths``: files and directories by URL
- ``memory_input``: records of the calling program
- ``same_file``: one file under several names, inputs and outputs
- ``compression``: gzip and zstd as bounded streams that notice truncation
- ``whole_file``: all that a file holds, decompressed; the members of a zip archive
- ``conversion``: what is not JSONL → blocks of JSON lines
- ``text_lines``: decoded text → lines of JSON; plain text → records
- ``first_records``: the first record of each shard, checked before the work begins
- ``reader``: shards → batches; bad records are reported or set aside
- ``shard_block``: pieces of shards, not yet looked into
- ``map_threads``: a function of each block, in threads, results in order
- ``map_ray``: the same on a Ray cluster
- ``reread_records``: records known by their place, read again
- ``rejects``: what happens to bad records
- ``record_faults``: why a record lacks what a tool needs, and the records that do not

Records:

- ``batch``: the batch, its two forms (JSON lines, Arrow rows), fields added to it
- ``added_column``: a field that a tool adds
- ``text_buffer``: the texts of many records in one buffer
- ``shapes``: chats and instructions, one shape as another
- ``field_paths``: fields by path
- ``nested_columns``: fields of a table by name or path, read and set
- ``jsonl``: JSON text: parsing with exact reasons, splicing without touching the rest
- ``scan``: the kernel that reads fields out of JSON lines
- ``scan_strings``: its kernels for strings
- ``to_arrow``: JSON values → Arrow columns
- ``to_json``: Arrow columns → JSON values
- ``schemas``: one schema for tables that differ, and their rows in it
- ``natural_order``: values of fields in the order that people expect
- ``record_keys``: which record is which, for randomness that no layout changes
- ``transform``: streams of batches that need no text: the first, some fields; several in one order

Outputs:

- ``sink``: the interface, and records handed to the calling program
- ``outputs``: stdout or a file
- ``shard_directory``: a directory of shards, resumable
- ``shard_size``: where batches are cut into shards
- ``encoders``: batches → JSONL, CSV, Parquet or Arrow bytes
- ``atomic_files``: files that take their name when they are complete
- ``exclusive_rename``: a rename that replaces nothing
- ``output_lock``: one writer an output
- ``job_difference``: where two jobs differ, for resuming

On disk during a run:

- ``spool``: records kept until it is known which of them are wanted
- ``vector_file``: vectors of many records
- ``value_cache``: values that runs and processes share
- ``value_journal``: values that a killed run finds again

Nothing here knows a tool, a model or a terminal.
"""
