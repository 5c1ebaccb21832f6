"""The processes around one arm: started, watched, told, recorded, ended."""
