"""Here so that the tests in the rooms below find `policy_toy`."""
