"""What a run leaves behind, and how it goes on: folder, checkpoints, numbers, signals, a full disk."""
