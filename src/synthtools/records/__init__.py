"""Records: the only place that opens data.

A record is one JSON object (a line of JSONL) or one row of Parquet or Arrow; CSV, JSON arrays and plain text
are converted to lines of JSONL on reading. Records flow through the tools in batches that keep their original
bytes or rows, so that an unmodified record is written byte for byte, and an added field changes no other.

Inputs:

- ``inputs``: names (files, directories, stdin) → shards
- ``shard_file``: opening a shard, by its content
- ``input_format``: the format of a file: by its name, or by option
- ``file_patterns``: files matching a pattern with names in braces
- ``remote_paths``: files and directories by URL
- ``memory_input``: in-memory records as an input
- ``same_file``: one file under several names, inputs and outputs
- ``compression``: gzip and zstd streams with bounded memory, which detect truncation
- ``whole_file``: a file's whole content, decompressed; the members of a zip archive
- ``conversion``: CSV, arrays and plain text → blocks of JSON lines
- ``text_lines``: decoded text → lines of JSON; plain text → records
- ``first_records``: checks of each shard's first record before the work starts
- ``reader``: shards → batches; bad records are reported or set aside
- ``shard_block``: unparsed blocks of shards
- ``map_threads``: a function over blocks in threads, results in order
- ``map_ray``: the same on a Ray cluster
- ``reread_records``: records read again by position
- ``rejects``: handling of bad records
- ``record_faults``: checks of records, with reasons

Records:

- ``batch``: the batch, its two forms (JSON lines, Arrow rows), fields added to it
- ``added_column``: a field that a tool adds
- ``text_buffer``: the texts of many records in one buffer
- ``shapes``: shapes of chats and instructions, and conversions between them
- ``field_paths``: fields by path
- ``nested_columns``: reading and setting fields of a table by name or path
- ``jsonl``: JSON text: parsing with exact errors, splicing that keeps all other bytes
- ``scan``: a kernel that extracts fields from JSON lines
- ``scan_strings``: its kernels for strings
- ``scan_lines``: a kernel that copies lines between blocks
- ``block_lines``: lines in blocks of text, chosen and put in order by that kernel
- ``to_arrow``: JSON values → Arrow columns
- ``to_json``: Arrow columns → JSON values
- ``schemas``: a common schema for tables of different schemas
- ``natural_order``: natural sorting of field values
- ``record_keys``: keys of records for random draws, independent of file layout
- ``transform``: simple operations on streams of batches: head, select, merge

Outputs:

- ``sink``: the interface, and output to the calling program
- ``outputs``: stdout or a file
- ``shard_directory``: a directory of shards, resumable
- ``shard_size``: splitting batches into shards of a given size
- ``encoders``: batches → JSONL, CSV, Parquet or Arrow bytes
- ``atomic_files``: files that appear under their name when complete
- ``early_sync``: files synced to disk while they are written
- ``exclusive_rename``: a rename that never overwrites
- ``output_lock``: one writer per output
- ``job_difference``: differences between two jobs, for resuming

On disk during a run:

- ``spool``: records kept on disk until the selection is known
- ``vector_file``: vectors of many records
- ``value_cache``: a cache of values shared by runs and processes
- ``value_journal``: values that a resumed run recovers

Nothing here knows a tool, a model or a terminal.
"""
