"""What `feelforward bench X` runs and judges is `scripts.bench.X`, or in a folder of several."""
