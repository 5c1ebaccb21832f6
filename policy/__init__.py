"""What to do next: probability paths, networks, training and inference."""

import os

# OpenMP threads that spin while they wait cost a busy two-core machine a factor of fifty.
# It is read once, when torch is first imported, so it is set before anything here imports torch.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
