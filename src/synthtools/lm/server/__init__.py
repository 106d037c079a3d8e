"""The server backend: OpenAI-compatible servers.

- ``server_engine``: scores, of vLLM's servers
- ``server_generator``: prompts → answers
- ``completions``: requests and replies in OpenAI's format
- ``rate_limit``: limits on requests and tokens in flight and per minute
- ``server_http``: HTTP requests with bounds on the reply's size and time
- ``server_pool``: several servers of one model
- ``server_probe``: a check that a server scores the tokens that it is sent
"""
