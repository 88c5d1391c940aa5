"""From frames to exact totals of slices and buckets, and to the rows that tell them."""
