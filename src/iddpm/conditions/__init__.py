"""What a model is told beside x_t and t, a file each."""
