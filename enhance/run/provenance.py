"""Where a run comes from: code, versions, machine, seed and command."""

import subprocess
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from enhance.device import device_name
from enhance.settings.schema import Settings

PACKAGES = ("torch", "torchvision", "hydra-core", "numpy", "pillow", "kornia", "scikit-image", "tensorboard")


def provenance(settings: Settings, device: torch.device) -> dict[str, Any]:
    """As JSON values."""
    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": [Path(sys.executable).name, *sys.argv],
        "git": git_state(),
        "python": sys.version.split()[0],
        "packages": {package: version(package) for package in PACKAGES},
        "device": str(device),
        "device_name": device_name(device),
        "cpu_threads": torch.get_num_threads(),
        "seed": settings.seed,
    }


def git_state() -> dict[str, Any] | None:
    """Commit of this code and whether it was changed since; None where no repository holds it."""

    def git(*arguments: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # installed, it may lie in a repository of other code
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None  # installed without its repository
