"""Where pipelines ask whether a release may go on, and where what they were told is kept."""
