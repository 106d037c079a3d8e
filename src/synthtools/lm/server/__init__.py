"""The server backend: OpenAI-compatible servers.

- ``server_engine``: scores, of vLLM's servers
- ``server_generator``: prompts → answers
- ``completions``: requests and answers in OpenAI's form
- ``rate_limit``: so many requests and tokens at once, and a minute
- ``server_http``: requests, with answers bounded in size and time
- ``server_pool``: several servers of one model
- ``server_probe``: whether a server scores what it is sent
"""
