"""The gate against hostile commands, walls and mutants of itself."""
