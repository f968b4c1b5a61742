"""Enhance one dark photograph, or a folder of them, with a trained checkpoint."""

from enhance.commands.photos import main

if __name__ == "__main__":
    main()
