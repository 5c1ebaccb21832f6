"""The arm as a whole: where its links are, what they come near to, which joints reach a pose."""
