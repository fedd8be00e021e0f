"""What the bundled checkpoint knows: tasks, baselines, models and the table of `recipes/tiny/evaluate.py`."""
