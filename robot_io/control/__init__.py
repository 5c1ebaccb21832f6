"""What the arm gets: plans in a buffer, the loop's ladder, the gate. Objects without I/O."""
