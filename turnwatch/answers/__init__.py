"""The questions asked of files, without a broker: the operators of the stream on columns that somebody has at hand."""
