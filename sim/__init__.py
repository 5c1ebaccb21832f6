"""MuJoCo worlds that implement the device interfaces of `robot_io`."""
