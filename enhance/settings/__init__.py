"""Every setting once: its type, default, bounds and meaning in `schema`; YAML and command line become these dataclasses
in `config` and `command`, the only places that know Hydra, and no dict travels on."""

from enhance.settings.schema import (
    MOVABLE,
    PLACES,
    CameraSettings,
    DataSettings,
    EvaluationSettings,
    ModelSettings,
    NormSettings,
    ObjectiveSettings,
    OptimizerSettings,
    ScheduleSettings,
    Settings,
    ValidationSettings,
    move,
)

__all__ = [
    "MOVABLE",
    "PLACES",
    "CameraSettings",
    "DataSettings",
    "EvaluationSettings",
    "ModelSettings",
    "NormSettings",
    "ObjectiveSettings",
    "OptimizerSettings",
    "ScheduleSettings",
    "Settings",
    "ValidationSettings",
    "move",
]
