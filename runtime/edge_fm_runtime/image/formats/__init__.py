"""Read the header of each format and refuse the kinds that OpenCV decodes wrongly."""
