"""Files: weights as safetensors, and atomic writes."""
