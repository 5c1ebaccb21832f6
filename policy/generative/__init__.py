"""From noise to data: paths, what a network predicts, losses, grids and samplers."""
