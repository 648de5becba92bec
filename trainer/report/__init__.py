"""What a person sees: console, metrics.jsonl, TensorBoard, pictures."""
