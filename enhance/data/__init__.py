"""From files to pairs of images: `open.open_data` opens a data set, `batches.training_batches` streams its crops.

`images` and `photo` read and write single files, `pairs` holds the sets, `scenes` tells which images show one view,
`camera` makes dark images. A new layout of folders goes into `layouts`; nothing here knows a network.
"""
