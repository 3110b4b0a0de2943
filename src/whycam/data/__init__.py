"""From files on a disk to uint8 pixels: listing, tables, splits and decoding; free of torch."""
