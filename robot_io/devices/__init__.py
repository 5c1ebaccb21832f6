"""Drivers, one file per vendor. Importing one needs no SDK; opening the device does."""
