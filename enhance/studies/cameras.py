"""Networks on the photographs of cameras that they were not trained on, adapted (AdaBN) or as they are."""

from enhance.studies.runs import Run

TRAINED_ON = "trained on"  # in the place of another camera's name
_CHOICES = {"psnr": "", "psnr_own": ", each image's own", "psnr_adapted": ", adapted"}  # of a batch norm's statistics


def on_cameras(runs: list[Run]) -> list[Run]:
    """A run for each camera, named by the setting `camera`, and for each choice of statistics of a batch norm, named
    behind the norm; none without other cameras."""
    found: list[Run] = []
    for run in runs:
        if any("_on_" in key for key in run.scores):
            for key, value in run.scores.items():
                score, _, camera = key.partition("_on_")
                if score in _CHOICES:
                    settings = run.settings | {"norm": run.norm + _CHOICES[score], "camera": camera or TRAINED_ON}
                    found.append(Run(settings, {"psnr": value}, []))
    return found
