"""Enhance a video with a trained checkpoint, and keep its sound."""

from enhance.commands.video import main

if __name__ == "__main__":
    main()
