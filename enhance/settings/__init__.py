"""Every setting once: type, default, bounds and meaning stand at the field in `schema`.

`config` and `command`, the only places that know Hydra, turn YAML and command line into these dataclasses; no dict
travels on. `identity` says what makes two runs the same, `describe` makes --help and docs/settings.md.
"""
