"""Scores and reports: how good a checkpoint is, on which images, and how sure that is.

`metrics` has the formulas; `scores.score` takes a network over whole images once and computes all that is asked for;
`choose` says which pairs a checkpoint may be scored on; `intervals` how sure a mean is; `protocols` scores as other
papers do; `variants` gives the same weights under other statistics of their batch norms; `report` writes the result.
`contact_sheet` and `drawing` show images of any size; `cached_weights` has LPIPS, `natural_scenes` NIQE and BRISQUE of
photographs without a reference.
"""
