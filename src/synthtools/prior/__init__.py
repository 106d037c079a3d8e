"""The built-in model: weights, tokenizer, configuration and card."""
