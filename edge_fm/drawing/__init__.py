"""Draw charts, contact sheets and text with OpenCV and Matplotlib."""
