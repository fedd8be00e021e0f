"""Fine-tuning on `transformers.Trainer`, metrics and baselines."""
