"""Enhancement of low-light photographs: `enhance.inference.Enhancer` uses a trained model, `enhance.training.trainer`
makes one, and `enhance.norm` has the layers that its U-Net is built of."""
