"""How the weights are found: objective, augmentation, averages, exact resume."""
