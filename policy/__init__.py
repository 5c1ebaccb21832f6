"""What to do next: probability paths, networks, training, inference."""
