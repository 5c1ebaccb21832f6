"""A policy that plans on another machine: keys, protocol, sockets, clocks."""
