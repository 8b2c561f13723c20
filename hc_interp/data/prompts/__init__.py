"""Tasks for language models: prompts whose next word is asked for. A task is one file."""
