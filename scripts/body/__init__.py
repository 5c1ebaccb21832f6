"""The capsules that the gate measures the whole arm with: made and drawn."""
