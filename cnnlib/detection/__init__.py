"""Detection, part by part: from the overlap of two boxes to Faster and Mask R-CNN."""
