"""The vLLM backend, in this process.

- ``vllm_engine``: scores
- ``vllm_generator``: prompts → answers
"""
