"""Read the header of each format, refuse what OpenCV decodes wrongly, and make its bytes safe for OpenCV."""
