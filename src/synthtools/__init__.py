"""synth: composable command-line tools for mixtures of human and LLM-generated text.

The folders, from the terminal inwards (imports point one way, downwards):

- ``cli`` and ``commands``: the tools by name; options and help, no algorithms
- ``console``: what a person sees: shared options, progress, tables, the run of a tool
- ``training``, ``curation``, ``analysis``: the ideas of the papers
- ``lm``: a language model behind one interface, with its backends
- ``records``: the only place that opens data
- ``prior``: the weights and tokenizer of the built-in model
"""

__version__ = "0.1.0"
