"""From files on a disk to uint8 pixels: listing, tables, splits, decoding and the pixel cache; free of torch."""
