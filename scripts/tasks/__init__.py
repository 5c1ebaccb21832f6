"""The tasks, what an episode of one leaves behind, and how it is shown: in lockstep, no process."""
