"""What is learnt: encoders of observations and the denoisers they steer."""
