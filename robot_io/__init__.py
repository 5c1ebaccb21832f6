"""Time, wire, devices, buffer, gate, control loop. Imports no torch and no simulator."""
