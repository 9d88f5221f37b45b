"""What a folder, an archive or a file that somebody calls a data set is.

`recognise` looks, `LAYOUTS` is the table of what is known: one function a layout, which returns
the settings that say the same, or None. Reading stays with `data/formats`.
"""
