"""Enhance a video, and keep its sound."""

from enhance.commands.video import main

if __name__ == "__main__":
    main()
