"""The networks that enhance. They know neither files nor Hydra nor the command line.

`build.build_model` makes a model of settings, and `build.upgrade_state` reads the states of older checkpoints. A model
is a `model.EnhancementModel`, which is all that training and inference know of it: a network (`residual.ResidualUNet`,
around the plain `unet.UNet`) and a way to set the brightness of its output (`model.ExposureModel`). Another way is
another subclass; another network has the methods of `ResidualUNet`.
"""
