"""What must hold of the generative core and of policies trained with it, row by row, measured."""
