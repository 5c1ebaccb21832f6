"""From an observation to a chunk: inference, and how a new plan takes up the old one."""
