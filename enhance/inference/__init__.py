"""One photograph, or a folder of them, through a trained model: whole or in tiles, on the command line, in a web page,
in ONNX, or in a program of one's own:

    from enhance.inference import Enhancer

    bright = Enhancer.load("runs/RUN").enhance(dark)
"""

from enhance.inference.enhancer import Enhancer

__all__ = ["Enhancer"]
