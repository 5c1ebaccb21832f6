"""A robot in real time: the processes around its arm, the person at its keys, the policy afar."""
